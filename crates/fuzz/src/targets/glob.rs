//! Globs: an include, an exclude, and a path. What matches can be found, and lies below a root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tailwater_tailer::Patterns;

use crate::input;

pub(crate) fn run(bytes: &[u8]) {
    let Some((include, rest)) = input::text_line(bytes) else {
        return;
    };
    let Some((exclude, path)) = input::text_line(rest) else {
        return;
    };
    let path = Path::new(OsStr::from_bytes(path));
    let (include, exclude) = ([include.to_owned()], [exclude.to_owned()]);
    let Ok(all) = Patterns::new(&include, &[]) else {
        return;
    };
    let is_match = all.matches(path);
    if is_match {
        assert!(path.is_absolute());
        let parents = path.ancestors().skip(1);
        parents.for_each(|dir| assert!(all.may_descend(dir), "a directory is not entered"));
        assert!(
            all.roots().iter().any(|root| is_below(path, root)),
            "no root"
        );
    }
    if let Ok(some) = Patterns::new(&include, &exclude) {
        let excluded = Patterns::new(&exclude, &[]).expect("it was taken as an exclude");
        let is_wanted = is_match && !excluded.matches(path);
        assert_eq!(some.matches(path), is_wanted);
        let entered = || path.ancestors().skip(1).all(|dir| some.may_descend(dir));
        assert!(!is_wanted || entered(), "a wanted file is not found");
    }
}

fn is_below(path: &Path, root: &tailwater_tailer::pattern::Root) -> bool {
    let Ok(below) = path.strip_prefix(&root.dir) else {
        return false;
    };
    root.max_depth
        .is_none_or(|most| below.components().count() <= most)
}
