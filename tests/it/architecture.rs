//! Who may use whom, read from the sources: the arrows of ARCHITECTURE.md, and what every file must have.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

/// Every crate: its place below the root, and the names it depends on outside of its tests.
fn crates() -> Vec<(String, Vec<String>)> {
    let mut found = vec![crate_at("")];
    for group in ["shared", "workers"] {
        let mut names: Vec<_> = fs::read_dir(root().join(group))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        let manifests = names.into_iter().filter(|path| path.join("Cargo.toml").is_file());
        found.extend(
            manifests.map(|path| crate_at(&format!("{group}/{}", path.file_name().unwrap().to_str().unwrap()))),
        );
    }
    found.extend([crate_at("receiver"), crate_at("tests")]);
    found
}

fn crate_at(place: &str) -> (String, Vec<String>) {
    let text = fs::read_to_string(root().join(place).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&text).unwrap();
    let dependencies = manifest.get("dependencies").and_then(|section| section.as_table());
    (
        place.to_owned(),
        dependencies
            .map(|section| section.keys().cloned().collect())
            .unwrap_or_default(),
    )
}

/// Every Rust source that is ours, with its text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for place in ["src", "shared", "workers", "receiver", "tests"] {
        collect(&root().join(place), &mut found);
    }
    assert!(found.len() > 100, "only {} sources found", found.len());
    found
}

fn collect(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let place = path.strip_prefix(root()).unwrap().display().to_string();
            found.push((place, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn imports_go_one_way() {
    let layers = [
        &["domain"][..],
        &["contract", "store", "bus", "sql"],
        &["artifacts"],
        &["runtime"],
        &["couriers"],
    ];
    let workers = ["intake", "cards", "unikassa", "databases", "registers", "mailer"];
    for (place, dependencies) in crates() {
        let Some((group, name)) = place.split_once('/') else {
            continue;
        };
        let layer = layers.iter().position(|layer| layer.contains(&name));
        for dependency in &dependencies {
            assert!(dependency != "unigate", "{place} depends on the executable");
            assert!(
                !workers.contains(&&**dependency) || name == dependency,
                "{place} depends on the worker {dependency}"
            );
            assert!(dependency != "testkit", "{place} depends on the testkit");
            let below = layers.iter().position(|layer| layer.contains(&&**dependency));
            if let (Some(layer), Some(below)) = (layer, below) {
                assert!(below < layer, "{place} depends on {dependency}, which is not below it");
            }
        }
        assert!(
            group == "workers" || !dependencies.iter().any(|one| workers.contains(&&**one)),
            "{place} knows workers"
        );
    }
}

#[test]
fn each_outside_world_is_named_by_one_crate() {
    for (outside, only) in [
        ("lapin", &["shared/bus"][..]),
        ("tokio-postgres", &["shared/store"]),
        ("deadpool-postgres", &["shared/store"]),
        ("lettre", &["workers/mailer"]),
        ("reqwest", &["shared/artifacts", "workers/unikassa"]),
        ("sqlx", &["shared/sql"]),
        ("odbc-api", &["shared/sql"]),
        ("chacha20poly1305", &["workers/cards"]),
        ("object_store", &["shared/artifacts"]),
        ("rust_xlsxwriter", &["shared/sheet"]),
        ("zip", &["shared/testkit", "workers/cards", "workers/registers"]),
        ("zip_of_calamine", &["shared/sheet"]),
        ("calamine", &["shared/formats", "workers/cards", "workers/databases"]),
        ("cfb", &["workers/databases"]),
        ("pgp", &["shared/openpgp", "workers/cards"]),
        ("minijinja", &["shared/domain"]),
        ("quick-xml", &["shared/domain", "shared/formats"]),
    ] {
        let named: Vec<String> = crates()
            .into_iter()
            .filter(|(_, dependencies)| dependencies.iter().any(|one| one == outside))
            .map(|(place, _)| place)
            .collect();
        assert_eq!(named, only, "who names {outside}");
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_readable() {
    for (place, text) in sources() {
        assert!(text.starts_with("//!"), "{place} does not open with what it is for");
        let lines = text.lines().count();
        assert!(lines <= 400, "{place} has {lines} lines");
    }
}

#[test]
fn no_test_is_ignored_and_none_sleeps() {
    for (place, text) in sources() {
        let ignored = concat!("#[", "ignore");
        assert!(!text.contains(ignored), "{place} ignores a test");
        assert!(!is_of_a_test(&place) || !sleeps(&text), "{place} sleeps");
    }
}

fn is_of_a_test(place: &str) -> bool {
    let name = place.rsplit('/').next().unwrap_or_default();
    place.starts_with("tests/") || place.contains("/tests/") || name.starts_with("tests")
}

#[test]
fn what_declarations_name_is_read_where_they_may_name_it() {
    // By themselves workers open what they are set up with, and what they have held against the declared places: all else goes
    // through `runtime::declared`.
    let by_themselves = [
        "workers/cards/src/import/container/pgp.rs",
        "workers/cards/src/vault/identity.rs",
        "workers/databases/src/file/open.rs",
        "workers/mailer/src/directory.rs",
        "workers/mailer/src/lib.rs",
    ];
    let mut opening: Vec<String> = sources()
        .into_iter()
        .filter(|(place, _)| place.starts_with("workers/") && !is_of_a_test(place))
        .filter(|(_, text)| {
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            ["fs::read", "fs::open(", " File::open(", ":File::open(", "OpenOptions"]
                .iter()
                .any(|opens| text.contains(opens))
        })
        .map(|(place, _)| place)
        .collect();
    opening.sort();
    assert_eq!(opening, by_themselves);
}

/// Whether a text names the clock's sleep, by its path or in the list of what it imports.
fn sleeps(text: &str) -> bool {
    text.split("time::").skip(1).any(|named| {
        let imported = named.strip_prefix('{').and_then(|list| list.split('}').next());
        let mut names = imported
            .unwrap_or(named)
            .split(|c: char| !c.is_alphanumeric() && c != '_');
        match imported {
            Some(_) => names.any(|name| name == "sleep"),
            None => names.next() == Some("sleep"),
        }
    })
}
