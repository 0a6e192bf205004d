//! `SPECIFICATIONS.md` says what the table of capabilities says, and names files that exist.

use std::collections::BTreeSet;
use std::path::Path;

use ircv3::Cap;

struct Row {
    specification: String,
    capabilities: Vec<String>,
    status: String,
    files: Vec<String>,
    tests: Vec<String>,
}

fn rows() -> Vec<Row> {
    let page = include_str!("../SPECIFICATIONS.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|')).skip(2);
    rows.map(|row| {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [specification, capabilities, status, files, tests] = columns[..] else {
            panic!("{row:?} has not five columns");
        };
        Row {
            specification: specification.to_owned(),
            capabilities: quoted(capabilities),
            status: status.to_owned(),
            files: quoted(files),
            tests: quoted(tests),
        }
    })
    .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_page_has_every_name_of_the_table_and_no_other() {
    let mut on_page = BTreeSet::new();
    for name in rows().into_iter().flat_map(|row| row.capabilities) {
        assert!(on_page.insert(name.clone()), "{name} stands twice on the page");
    }
    let in_table: BTreeSet<String> =
        Cap::ALL.iter().flat_map(|cap| cap.names()).map(|name| (*name).to_owned()).collect();
    assert_eq!(on_page, in_table);
}

#[test]
fn every_row_has_a_link_a_status_files_and_tests() {
    for row in rows() {
        let name = &row.specification;
        let first = row.capabilities.first().map_or("", String::as_str);
        let vendor = first.contains('/') && !first.starts_with("draft/");
        let proposal = name.contains("](https://github.com/ircv3/ircv3-specifications/pull/");
        let idea = name.contains("](https://github.com/ircv3/ircv3-ideas/issues/");
        assert!(vendor || proposal || idea || name.contains("](https://ircv3.net/specs/"), "{name}");
        assert!(!row.capabilities.is_empty() && !row.files.is_empty() && !row.tests.is_empty(), "{name}");
        let status = if vendor {
            "vendor"
        } else if first.starts_with("draft/") {
            "draft"
        } else {
            "ratified"
        };
        assert!(row.status.starts_with(status), "{name}: {}", row.status);
    }
}

#[test]
fn every_file_on_the_page_exists() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for row in rows() {
        for file in row.files.iter().chain(&row.tests) {
            assert!(repository.join(file).is_file(), "{}: there is no {file}", row.specification);
        }
        // Tests of the protocol may stand in the file that they test; then they are there.
        for file in row.tests.iter().filter(|file| file.contains("/src/")) {
            let text = std::fs::read_to_string(repository.join(file)).expect("it is a file");
            assert!(text.contains("#[test]"), "{file} has no test");
        }
    }
}
