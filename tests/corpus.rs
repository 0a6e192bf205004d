//! What the fuzz targets found worth keeping is looked at each time, without a fuzzer.

#[path = "fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;

fn each(name: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files = 0;
    for entry in fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.expect("a file").path();
        check(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        files += 1;
    }
    assert!(files > 0, "{} is empty", directory.display());
}

#[test]
fn lines() {
    each("line", checks::line);
}

#[test]
fn tags() {
    each("tags", checks::tags);
}

#[test]
fn modes() {
    each("modes", checks::modes);
}

#[test]
fn masks() {
    each("masks", checks::masks);
}

#[test]
fn sessions() {
    each("session", checks::session);
}

#[test]
fn proxy_headers() {
    each("proxy", checks::proxy);
}
