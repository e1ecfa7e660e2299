//! Every direct dependency has its row in ARCHITECTURE.md, and every row its dependency.

use std::collections::BTreeSet;

/// The manifests whose dependencies the table gives reasons for.
pub(super) const MANIFESTS: [&str; 7] = [
    "crates/masep-proto/Cargo.toml",
    "crates/masep/Cargo.toml",
    "crates/masep-cli/Cargo.toml",
    "crates/masep-model/Cargo.toml",
    "crates/instructions/Cargo.toml",
    "bindings/python/Cargo.toml",
    "xtask/Cargo.toml",
];

/// What the table says too much or too little, of these manifests' contents.
pub(super) fn differences(architecture: &str, manifests: &[String]) -> Vec<String> {
    let rows = rows(architecture);
    let used: BTreeSet<_> = manifests.iter().flat_map(|text| direct(text)).collect();
    let without_row = used
        .difference(&rows)
        .map(|name| format!("{name}: a dependency without a row in ARCHITECTURE.md"));
    let without_use = rows
        .difference(&used)
        .map(|name| format!("{name}: a row in ARCHITECTURE.md, but no dependency"));
    without_row.chain(without_use).collect()
}

/// The names in the first column of the table under `## Dependencies`.
fn rows(architecture: &str) -> BTreeSet<&str> {
    let section = architecture
        .split_once("\n## Dependencies\n")
        .map_or("", |(_, rest)| rest);
    let section = section.split("\n## ").next().unwrap_or("");
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split('|').next())
        .flat_map(|names| names.split(','))
        .map(str::trim)
        .filter(|name| *name != "crate" && !name.starts_with('-'))
        .collect()
}

/// The crates that a manifest names as dependencies of any kind, without masep's own.
fn direct(manifest: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut within = false;
    for line in manifest.lines().map(str::trim_end) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            within = header.ends_with("dependencies");
            if let Some((_, name)) = header.split_once("dependencies.") {
                names.insert(name);
            }
        } else if within
            && line.starts_with(|first: char| first.is_ascii_alphanumeric())
            && let Some((key, _)) = line.split_once('=')
        {
            names.insert(key.trim().trim_end_matches(".workspace"));
        }
    }
    names.retain(|name| !name.starts_with("masep"));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_every_kind_are_found() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\na = \"1\"\nmasep = { path = \"..\" }\n\
                        b.workspace = true\nc = { version = \"1\", features = [\n    \"z\",\n] }\n\
                        [target.'cfg(unix)'.dev-dependencies]\nd = \"1\"\n[build-dependencies.e]\nversion = \"1\"\n\
                        [features]\nf = []\n";
        assert_eq!(direct(manifest), BTreeSet::from(["a", "b", "c", "d", "e"]));
    }

    #[test]
    fn the_table_says_neither_too_much_nor_too_little() {
        let table = "# A\n\n## Dependencies\n\n| crate | of |\n| --- | --- |\n| a, b | x |\n\n## Other\n\n| c | x |\n";
        let manifests = [
            "[dependencies]\na = \"1\"\n",
            "[dev-dependencies]\nc = \"1\"\n",
        ];
        assert_eq!(
            differences(table, &manifests.map(str::to_owned)),
            [
                "c: a dependency without a row in ARCHITECTURE.md",
                "b: a row in ARCHITECTURE.md, but no dependency"
            ]
        );
    }
}
