//! A declared program, found and ready to run: its arguments, the variables it gets, what its end has to be.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use domain::declaration::{CommandSeal, INPUT, OUTPUT};
use rustix::fs::Access;

use super::memory::MemoryFile;

/// Where programs that a program calls are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Clone)]
pub(crate) struct Program {
    declared: CommandSeal,
    variables: Vec<(String, String)>,
}

impl Program {
    /// Looks whether both programs may be run and all variables are here.
    pub(in crate::seal) fn find(declared: &CommandSeal) -> Result<Self, String> {
        let programs = [("argv", &declared.argv), ("verify", &declared.verify)];
        for (field, program) in programs
            .into_iter()
            .filter_map(|(field, argv)| Some((field, argv.first()?)))
        {
            runtime::declared::permitted(Path::new(program)).map_err(|why| format!("{field}: {why}"))?;
            let is_file = std::fs::metadata(program).map(|found| found.is_file());
            match is_file.map(|is_file| is_file && rustix::fs::access(program, Access::EXEC_OK).is_ok()) {
                Ok(true) => {}
                Ok(false) => return Err(format!("{field}: {program} cannot be run")),
                Err(error) => return Err(format!("{field}: {program}: {error}")),
            }
        }
        if declared.argv.is_empty() {
            return Err("argv: is empty".to_owned());
        }
        let mut variables = vec![
            ("PATH".to_owned(), PATH.to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ];
        for name in &declared.environment {
            if name.starts_with(runtime::secret::OURS) {
                return Err(format!(
                    "environment: {name} is a setting of unigate's own, and no declaration's"
                ));
            }
            let value = runtime::settings::environment(name);
            let value = value.ok_or_else(|| format!("environment: {name} is not set here"))?;
            variables.push((name.clone(), value));
        }
        Ok(Self {
            declared: declared.clone(),
            variables,
        })
    }

    pub(super) fn argv_names(&self, stands_for: &str) -> bool {
        self.declared.argv.iter().any(|argument| argument.contains(stands_for))
    }

    pub(super) fn argv(&self, input: Option<&MemoryFile>, output: Option<&MemoryFile>) -> Vec<String> {
        filled(&self.declared.argv, input, output)
    }

    /// The second program's arguments; nothing when there is none.
    pub(super) fn verify(&self, input: Option<&MemoryFile>) -> Vec<String> {
        filled(&self.declared.verify, input, None)
    }

    pub(super) fn verify_names_input(&self) -> bool {
        self.declared.verify.iter().any(|argument| argument.contains(INPUT))
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.declared.timeout_seconds.into())
    }

    pub(super) fn exit_codes(&self) -> &[i32] {
        &self.declared.exit_codes
    }
}

fn filled(argv: &[String], input: Option<&MemoryFile>, output: Option<&MemoryFile>) -> Vec<String> {
    let path = |file: Option<&MemoryFile>| file.map(MemoryFile::path).unwrap_or_default();
    let (input, output) = (path(input), path(output));
    let fill = |argument: &String| argument.replace(INPUT, &input).replace(OUTPUT, &output);
    argv.iter().map(fill).collect()
}

/// Arguments may name what only the operator should know; the program's path is enough to find it by.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.declared.argv.first().map_or("", String::as_str))
    }
}
