//! The steps that the systemd unit names at its head, as an administrator does them by hand, where systemd has no part in it.

use std::path::Path;

use tokio::process::Command;

use crate::stand::SECRET;

#[tokio::test]
async fn what_systemd_hands_to_the_service_is_found_by_hand_too() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/unigate-receiver.service");
    let unit = std::fs::read_to_string(deploy).unwrap();
    let directory = std::env::temp_dir().join(format!("unigate-receiver-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&directory).unwrap();
    let url = format!("sqlite://{}", directory.join("billing.db").display());
    let mut named = Vec::new();
    for (name, value) in [("secret", SECRET), ("database", url.as_str())] {
        // The unit loads a file of this name, and says how it is named.
        assert!(unit.contains(&format!("LoadCredential={name}:/etc/unigate-receiver/{name}")));
        let line = unit
            .lines()
            .find(|line| line.contains(&format!("\"credential:{name}\"")));
        named.push(line.unwrap().trim_start_matches(['#', ' ']).to_owned());
        std::fs::write(directory.join(name), format!("{value}\n")).unwrap();
    }
    let config = directory.join("receiver.toml");
    let text = format!(
        "{}\ncurrency = \"RUB\"\n[database]\n{}\n[check]\nsql = \"select 1 as one\"\n[pay]\nsql = \"select 1 as one\"\n",
        named[0], named[1]
    );
    std::fs::write(&config, text).unwrap();
    let output = async |command: &str, credentials: Option<&Path>| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_unigate-receiver"));
        program
            .arg("--config")
            .arg(&config)
            .arg(command)
            .env_remove("CREDENTIALS_DIRECTORY");
        if let Some(directory) = credentials {
            program.env("CREDENTIALS_DIRECTORY", directory);
        }
        let output = program.output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = output("init-db", None).await;
    assert!(
        code == Some(64) && text.contains("CREDENTIALS_DIRECTORY is not set"),
        "{text}"
    );
    for command in ["init-db", "check-config"] {
        let (code, text) = output(command, Some(&directory)).await;
        assert_eq!(code, Some(0), "{command}: {text}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
