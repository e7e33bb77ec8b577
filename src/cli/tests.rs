//! What people read when they ask for help, and the shape of every operator's command: a change shows here.

use clap::CommandFactory;

use super::Cli;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help() {
    insta::assert_snapshot!(Cli::command().render_help());
}

/// Every command with its arguments, a line each. `demo` and `bench` are not the operator's and change more often.
#[test]
fn usages() {
    let mut root = Cli::command();
    root.build();
    let mut lines = Vec::new();
    for group in root.get_subcommands_mut() {
        if !["demo", "bench", "help"].contains(&group.get_name()) {
            add_usages(group, &mut lines);
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

fn add_usages(command: &mut clap::Command, lines: &mut Vec<String>) {
    if !command.has_subcommands() {
        let is_own =
            |option: &&clap::Arg| !option.is_positional() && !["help", "version"].contains(&option.get_id().as_str());
        let options: Vec<String> = command
            .get_arguments()
            .filter(is_own)
            .map(ToString::to_string)
            .collect();
        let usage = command.clone().render_usage().to_string();
        lines.push(format!(
            "{}  {{{}}}",
            usage.trim_start_matches("Usage: "),
            options.join(", ")
        ));
    }
    for sub in command.get_subcommands_mut() {
        if sub.get_name() != "help" {
            add_usages(sub, lines);
        }
    }
}

/// Whatever is done for a reason, blanks are none.
#[test]
fn a_reason_is_given_in_words() {
    let mut paths = Vec::new();
    with_reason(&Cli::command(), &mut Vec::new(), &mut paths);
    assert!(paths.len() > 15, "{paths:?}");
    for path in paths {
        let line = path.iter().map(String::as_str).chain(["--reason", " "]);
        let error = Cli::command().try_get_matches_from(line).unwrap_err();
        assert_eq!(
            error.kind(),
            clap::error::ErrorKind::ValueValidation,
            "{path:?}: {error}"
        );
        assert!(error.to_string().contains("1 to 500 characters"), "{path:?}: {error}");
    }
}

/// The commands that take a reason in somebody's own words.
fn with_reason(command: &clap::Command, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    path.push(command.get_name().to_owned());
    let in_words = |option: &clap::Arg| {
        let named = option.get_value_names().unwrap_or_default();
        option.get_id() == "reason" && named.iter().any(|name| name == "TEXT")
    };
    if command.get_arguments().any(in_words) {
        found.push(path.clone());
    }
    for sub in command.get_subcommands() {
        with_reason(sub, path, found);
    }
    path.pop();
}

#[test]
fn wrong_usage_is_refused() {
    for line in [
        "unigate",
        "unigate run kiosks",
        "unigate payees suspend isp",
        "unigate deliveries requeue",
        "unigate deliveries requeue --payee isp",
        "unigate deliveries requeue --payee isp --state unknown --certain",
        "unigate deliveries requeue 0199aa00-0000-7000-8000-000000000001 --payee isp --state unknown",
        "unigate deliveries requeue 0199aa00-0000-7000-8000-000000000001 --limit 1",
        "unigate deliveries requeue --state failed --rate 0",
        "unigate deliveries requeue --group isp/failed",
        "unigate deliveries settle 0199aa00-0000-7000-8000-000000000001 --as paid --reason x",
        "unigate deliveries stop --reason x",
        "unigate deliveries list --state lost",
        "unigate parked discard 0199aa00-0000-7000-8000-000000000001",
        "unigate parked show 17",
        "unigate cards import --product a/b file.csv",
        "unigate registers resend --payee isp --from 2026-11-01",
    ] {
        assert!(Cli::command().try_get_matches_from(line.split(' ')).is_err(), "{line}");
    }
    for line in [
        "unigate run cards mailer",
        "unigate deliveries requeue --payee isp --state unknown --dry-run",
        "unigate deliveries requeue 0199aa00-0000-7000-8000-000000000001 --certain",
        "unigate deliveries requeue --group isp/failed/0123456789ab --rate 50 --limit 10",
        "unigate deliveries acts",
        "unigate deliveries acts --open --format json",
        "unigate deliveries acts cancel 0199aa00-0000-7000-8000-000000000001",
    ] {
        assert!(Cli::command().try_get_matches_from(line.split(' ')).is_ok(), "{line}");
    }
}
