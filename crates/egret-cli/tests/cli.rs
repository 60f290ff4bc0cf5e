//! The program as scripts see it: exit codes, what goes to which stream, without a coordinator.

use std::process::{Command, Output};

/// Runs the program in an environment without its variables.
fn egret(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    for name in ["EGRET_URL", "EGRET_API_KEY", "EGRET_LISTEN", "EGRET_DATA_DIR", "EGRET_LOG"] {
        command.env_remove(name);
    }
    command.args(args).output().expect("the program starts")
}

#[track_caller]
fn check(args: &[&str], exit: i32, said: &str) -> Output {
    let output = egret(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{args:?}: {stderr}");
    assert!(stderr.contains(said), "{args:?}: {stderr}");
    output
}

/// A port of loopback where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    format!("http://{}", listener.local_addr().expect("it is bound"))
}

#[test]
fn wrong_usage_ends_with_2_and_names_what_is_wrong() {
    check(&["lokup", "example.com"], 2, "unrecognized subcommand 'lokup'");
    check(&["lookup"], 2, "<TARGET>...");
    check(&["lookup", "example.com", "--kind", "domian"], 2, "'domain'");
    check(&["submit", "-", "--output", "x"], 2, "--wait");
    check(&["pause", "bat_1", "--why", "x"], 2, "--why is kept for services only");
    check(&["retry", "bat_1", "--state", "done"], 2, "[possible values: failed, expired]");
    check(&["cancel", "foo"], 2, "neither a job (job_…) nor a batch (bat_…)");
    check(&["agents", "--url", "localhost:7043"], 2, "write http://HOST:PORT");
    check(&["submit", "/nonexistent/targets"], 2, "name a file of targets, or - for stdin");
}

#[test]
fn wrong_config_ends_with_2_before_anything_listens() {
    check(&["serve"], 2, "--config <FILE>");
    check(&["serve", "--config", "/nonexistent/egret.toml"], 2, "/nonexistent/egret.toml");
    check(&["up", "--listen", "here"], 2, "write 127.0.0.1:7043");
}

#[test]
fn a_coordinator_that_is_not_there_ends_with_3_and_the_mend() {
    let url = nobody();
    let said = format!(
        "no coordinator answers at {url}: connection refused; start one with `egret up` or `egret serve`"
    );
    for args in [
        &["agents"][..],
        &["lookup", "example.com"],
        &["jobs", "--json"],
        &["quota", "--watch"],
        &["submit", "Cargo.toml"],
    ] {
        let output = check(&[args, &["--url", &url]].concat(), 3, &said);
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn what_an_output_file_held_survives_a_coordinator_that_is_not_there() {
    let file = std::env::temp_dir().join(format!("egret-cli-{}.ndjson", std::process::id()));
    std::fs::write(&file, "kept\n").unwrap();
    check(
        &["submit", "Cargo.toml", "--wait", "-o", file.to_str().unwrap(), "--url", &nobody()],
        3,
        "no coordinator",
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept\n");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn help_and_completions_name_every_command() {
    let commands = "serve up demo lookup submit results jobs cancel pause resume stop start retry explain plan quota agents services token completions";
    let help = String::from_utf8(check(&["--help"], 0, "").stdout).unwrap();
    let script = String::from_utf8(check(&["completions", "bash"], 0, "").stdout).unwrap();
    for command in commands.split_whitespace() {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{command}");
        assert!(script.contains(command), "{command}");
    }
    assert!(help.contains("Exit codes: 0 done, 1 some lookup failed, 2 wrong usage or config"), "{help}");
}

#[test]
fn a_key_is_made_without_a_coordinator_and_shown_once_beside_its_table() {
    let args = ["key", "create", "--name", "research", "--weight", "3", "--service", "whois.*"];
    let output = check(&args, 0, "[[api_key]]\nname     = \"research\"\nhash     = \"sha256:");
    let key = String::from_utf8(output.stdout).expect("text");
    let table = String::from_utf8(output.stderr).expect("text");
    assert!(key.starts_with("egk1_") && key.trim().len() == 82, "{key}");
    assert!(!table.contains(key.trim()) && table.contains(&key[..17]), "only its beginning: {table}");
    assert!(table.ends_with("role     = \"submit\"\nweight   = 3\nservices = [\"whois.*\"]\n"), "{table}");
    let output = check(&["key", "create", "--name", "a", "--role", "admin", "--json"], 0, "");
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!((&shown["role"], &shown["weight"]), (&"admin".into(), &1.into()));

    check(&["key", "create"], 2, "--name <NAME>");
    check(&["key", "create", "--name", "A B"], 2, "`A B` is not a name; write 1 to 64 of a-z");
    check(&["key", "create", "--name", "a", "--role", "root"], 2, "[possible values: read, submit, admin]");
    check(&["key", "create", "--name", "a", "--weight", "0"], 2, "0 is not in 1..=1000");
    check(&["key", "create", "--name", "a", "--service", "A"], 2, "write one such as whois.*");
    check(&["key", "create", "--name", "a", "--role", "read", "--service", "a"], 2, "leave it out");
}

#[test]
fn keys_in_a_config_file_are_listed_and_taken_out() {
    let file = std::env::temp_dir().join(format!("egret-keys-{}.toml", std::process::id()));
    let path = file.to_str().unwrap();
    let table = |name: &str| {
        let made = check(&["key", "create", "--name", name], 0, "");
        let said = String::from_utf8(made.stderr).unwrap();
        format!("{}\n", &said[said.find("[[").unwrap()..])
    };
    let [a, b] = ["a", "b"].map(table);
    std::fs::write(&file, format!("{a}# stays\n{b}")).unwrap();
    let list = || String::from_utf8(check(&["key", "list", "--config", path], 0, "").stdout).unwrap();
    let rows = list();
    let row = rows.lines().find(|line| line.starts_with("a ")).unwrap();
    let hash = row.split_whitespace().last().unwrap();
    assert!(a.contains(&format!("sha256:{hash}")), "{rows}");
    check(&["key", "revoke", "abc", "--config", path], 2, "too short");
    check(&["key", "revoke", "0000000000000000", "--config", path], 2, "0 keys in");
    check(&["key", "revoke", hash, "--config", path], 0, "a key of a is gone");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("\n# stays\n{b}"));
    let shown: serde_json::Value =
        serde_json::from_slice(&check(&["key", "list", "--config", path, "--json"], 0, "").stdout).unwrap();
    assert_eq!((shown[0]["name"].as_str(), shown.as_array().unwrap().len()), (Some("b"), 1));
    let rows = list();
    let hash = rows.split_whitespace().last().unwrap();
    check(&["key", "revoke", hash, "--config", path], 2, "it is the only key");
    std::fs::remove_file(&file).unwrap();
}
