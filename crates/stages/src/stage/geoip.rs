//! `geoip`: labels from where an address is, or from the network it belongs to.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use maxminddb::{Reader, geoip2};

use crate::GeoIpConfig;
use crate::draft::{Draft, Slot};
use crate::error::Fault;
use crate::program::{Names, Shop};

/// Bytes of a database; the largest that is sold has half of it.
const MAX_DATABASE_BYTES: u64 = 2 << 30;

#[derive(Clone, Debug)]
pub(crate) struct GeoIp {
    source: Slot,
    kind: Kind,
    /// One for all workers: the whole file in memory.
    database: Arc<Reader<Vec<u8>>>,
}

/// What the database says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    City,
    Asn,
}

impl GeoIp {
    /// Opens the database; a fault comes with the name of its key.
    pub(crate) fn new(
        config: &GeoIpConfig,
        names: &mut Names,
    ) -> Result<Self, (&'static str, Fault)> {
        let source = given(config.source.as_deref(), "source", "the extracted address")?;
        let kind = match config.db_type.as_deref() {
            Some("city") => Kind::City,
            Some("asn") => Kind::Asn,
            _ => {
                let fault = Fault::new(
                    "the type of the database is missing or unknown",
                    "write `city` or `asn`",
                );
                return Err(("db_type", fault));
            }
        };
        let path = given(config.db.as_deref(), "db", "the database file")?;
        let database = open(path).map_err(|fault| ("db", fault))?;
        check_kind(kind, path, &database.metadata().database_type)?;
        Ok(Self {
            source: names.slot(source),
            kind,
            database: Arc::new(database),
        })
    }

    /// Sets what is known of the address; an address that is none, or unknown, sets nothing.
    #[inline(never)]
    pub(crate) fn apply(&self, draft: &mut Draft<'_>, shop: &mut Shop) {
        let Some(text) = draft.text(self.source) else {
            return;
        };
        let address = std::str::from_utf8(draft.bytes(text)).ok();
        let Some(address) = address.and_then(|text| text.parse::<IpAddr>().ok()) else {
            return;
        };
        // A damaged record is as good as none.
        let Ok(found) = self.database.lookup(address.to_canonical()) else {
            return;
        };
        match self.kind {
            Kind::City => {
                if let Ok(Some(city)) = found.decode() {
                    set_city(&city, draft, shop);
                }
            }
            Kind::Asn => {
                if let Ok(Some(asn)) = found.decode() {
                    set_asn(&asn, draft, shop);
                }
            }
        }
    }
}

fn set_city(city: &geoip2::City<'_>, draft: &mut Draft<'_>, shop: &mut Shop) {
    // The last one is the most specific.
    let subdivision = city.subdivisions.last();
    let location = (city.location.latitude, city.location.longitude);
    let place = match location {
        (Some(latitude), Some(longitude)) => [latitude.to_string(), longitude.to_string()],
        _ => [const { String::new() }; 2],
    };
    let [latitude, longitude] = &place;
    let labels = [
        ("geoip_city_name", city.city.names.english),
        ("geoip_country_name", city.country.names.english),
        ("geoip_continent_name", city.continent.names.english),
        ("geoip_continent_code", city.continent.code),
        ("geoip_location_latitude", Some(latitude)),
        ("geoip_location_longitude", Some(longitude)),
        ("geoip_postal_code", city.postal.code),
        ("geoip_timezone", city.location.time_zone),
        (
            "geoip_subdivision_name",
            subdivision.and_then(|part| part.names.english),
        ),
        (
            "geoip_subdivision_code",
            subdivision.and_then(|part| part.iso_code),
        ),
    ];
    set(&labels, draft, shop);
}

fn set_asn(asn: &geoip2::Asn<'_>, draft: &mut Draft<'_>, shop: &mut Shop) {
    let number = asn.autonomous_system_number.filter(|number| *number != 0);
    let number = number.map(|number| number.to_string());
    let labels = [
        ("geoip_autonomous_system_number", number.as_deref()),
        (
            "geoip_autonomous_system_organization",
            asn.autonomous_system_organization,
        ),
    ];
    set(&labels, draft, shop);
}

/// Sets labels; those without a value are not set.
fn set(labels: &[(&str, Option<&str>)], draft: &mut Draft<'_>, shop: &mut Shop) {
    let given = labels.iter().filter_map(|(name, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some((*name, value.as_bytes()))
    });
    let labels = shop.interner.with(draft.labels(), given);
    draft.set_labels(labels);
}

fn given<'a>(
    value: Option<&'a str>,
    key: &'static str,
    what: &str,
) -> Result<&'a str, (&'static str, Fault)> {
    let value = value.filter(|value| !value.is_empty());
    value.ok_or_else(|| {
        let problem = format!("`{key}` is missing or empty");
        (key, Fault::new(problem, format!("name {what}")))
    })
}

/// Reads a database into memory; the file is not needed afterwards.
fn open(path: &str) -> Result<Reader<Vec<u8>>, Fault> {
    let unreadable = |problem: String| {
        let hint = "name a MaxMind DB file that the agent may read";
        Fault::new(
            format!("cannot read the database `{path}`: {problem}"),
            hint,
        )
    };
    let metadata = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    // What is no file could keep the agent waiting, or never end.
    if !metadata.is_file() {
        return Err(unreadable("it is no file".to_owned()));
    }
    if metadata.len() > MAX_DATABASE_BYTES {
        let problem = format!("it has more than {MAX_DATABASE_BYTES} bytes");
        return Err(unreadable(problem));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    Reader::from_source(bytes).map_err(|error| {
        Fault::new(
            format!("`{path}` is no MaxMind DB file, or a damaged one: {error}"),
            "download it again, and unpack it: the file ends in `.mmdb`",
        )
    })
}

/// Refuses a database of the other kind, in which no address would be found.
fn check_kind(kind: Kind, path: &str, database_type: &str) -> Result<(), (&'static str, Fault)> {
    let is_of_networks = database_type.contains("ASN") || database_type.contains("ISP");
    if is_of_networks == (kind == Kind::Asn) {
        return Ok(());
    }
    let (is, other) = match kind {
        Kind::City => ("cities", "asn"),
        Kind::Asn => ("networks", "city"),
    };
    let problem = format!("`{path}` is a database of type `{database_type}`, not of {is}");
    let hint = format!("write `db_type: {other}`, or name another database");
    Err(("db_type", Fault::new(problem, hint)))
}
