//! `tenant`: whom the record is sent for.

use crate::TenantConfig;
use crate::draft::{Draft, Slot};
use crate::error::Fault;
use crate::program::{Names, Shop};
use crate::worker::TENANT_LABEL;

#[derive(Clone, Debug)]
pub(crate) enum Tenant {
    Label(Box<str>),
    Source(Slot),
    Value(Box<str>),
}

impl Tenant {
    pub(crate) fn new(config: &TenantConfig, names: &mut Names) -> Result<Self, Fault> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (label, source, value) = (
            given(&config.label),
            given(&config.source),
            given(&config.value),
        );
        match (label, source, value) {
            (Some(label), None, None) => Ok(Self::Label(label.into())),
            (None, Some(source), None) => Ok(Self::Source(names.slot(&source))),
            (None, None, Some(value)) => Ok(Self::Value(value.into())),
            _ => Err(Fault::new(
                "exactly one of `label`, `source` and `value` says the tenant",
                "keep one of them",
            )),
        }
    }

    #[inline(never)]
    pub(crate) fn apply(&self, draft: &mut Draft<'_>, shop: &mut Shop) {
        let tenant = match self {
            Self::Label(name) => draft.label_text(name),
            Self::Source(slot) => draft.text(*slot),
            Self::Value(value) => Some(draft.keep(value.as_bytes())),
        };
        // As Promtail: an empty one names nobody, and the tenant stays as it is.
        let tenant = tenant.filter(|tenant| !draft.bytes(*tenant).is_empty());
        if let Some(tenant) = tenant {
            draft.set_label(TENANT_LABEL, tenant, &mut shop.interner);
        }
    }
}
