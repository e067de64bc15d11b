//! Reading from the process's own files: relative paths start at the configuration's folder, and a folder that is missing is a warning.

use std::fs;

use weir_config::{Process, plan::Action};

#[test]
fn relative_paths_start_at_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    fs::create_dir_all(config.join("site")).unwrap();
    fs::write(config.join("address"), "127.0.0.1:8080\n").unwrap();
    let file = config.join("weir.toml");
    fs::write(
        &file,
        r#"
            listen = [{ address = "${file:address}" }]
            route = [
                { path = "/here/*", files = { root = "site" } },
                { path = "/gone/*", files = { root = "../site" } },
            ]
        "#,
    )
    .unwrap();
    let plan = weir_config::load(&file, &Process).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(plan.listeners[0].address.port(), 8080);
    let Action::Files { root, .. } = &plan.routes[0].action else {
        panic!("{:?}", plan.routes[0].action)
    };
    assert_eq!(*root, config.join("site"));
    assert_eq!(plan.warnings.len(), 1, "{:?}", plan.warnings);
    assert!(plan.warnings[0].contains("route[1].files.root: there is no such folder now"));
}
