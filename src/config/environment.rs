//! The process's surroundings as configuration sees them: variables, and files that hold secrets.

use std::collections::BTreeMap;
use std::path::Path;

use super::values::Refusal;

/// Environment variables, given so that tests can choose them.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of this process; those that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { variables: std::env::vars_os().filter_map(text).collect() }
    }

    /// The given variables.
    #[cfg(test)]
    #[must_use]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { variables: owned.collect() }
    }

    /// The `LAKEWARD_*` variables, by name. `LAKEWARD_CONFIG` names the file, `LAKEWARD_CACHE` and `LAKEWARD_TEST_*`
    /// are the scripts' and the tests'; none of them is a setting.
    pub fn overrides(&self) -> impl Iterator<Item = (&str, &str)> {
        let other =
            |name: &str| matches!(name, "LAKEWARD_CONFIG" | "LAKEWARD_CACHE") || name.starts_with("LAKEWARD_TEST_");
        let ours = self.variables.iter().filter(move |(name, _)| name.starts_with("LAKEWARD_") && !other(name));
        ours.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `text` with `${env:X}` and `${file:X}` replaced; other `${…}` are refused. Values are never repeated in
    /// refusals, only the names.
    pub fn resolve(&self, text: &str) -> Result<String, Refusal> {
        let mut resolved = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((reference, behind)) = after.split_once('}') else {
                return Err(Refusal::new("\"${\" without \"}\""));
            };
            resolved.push_str(before);
            resolved.push_str(&self.look_up(reference)?);
            rest = behind;
        }
        resolved.push_str(rest);
        Ok(resolved)
    }

    fn look_up(&self, reference: &str) -> Result<String, Refusal> {
        match reference.split_once(':') {
            Some(("env", name)) => self
                .variables
                .get(name)
                .cloned()
                .ok_or_else(|| Refusal::new(format!("the environment variable {name} is not set"))),
            Some(("file", path)) => read_secret(Path::new(path)),
            _ => Err(Refusal::new("\"${…}\" is neither ${env:NAME} nor ${file:PATH}")),
        }
    }
}

/// The text of a secret's file, less one line break at its end. A file that everybody may read is refused.
fn read_secret(path: &Path) -> Result<String, Refusal> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| Refusal::new(format!("cannot read the secret file {shown}: {error}"));
    refuse_world_readable(path).map_err(unreadable)??;
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(unix)]
fn refuse_world_readable(path: &Path) -> std::io::Result<Result<(), Refusal>> {
    use std::os::unix::fs::PermissionsExt as _;
    /// Permission bits of others.
    const OTHERS: u32 = 0o007;
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(Ok(()));
    }
    let shown = path.display();
    Ok(Err(Refusal::new(format!("the secret file {shown} is open to every user; chmod o-rwx {shown}"))))
}

#[cfg(not(unix))]
fn refuse_world_readable(_path: &Path) -> std::io::Result<Result<(), Refusal>> {
    Ok(Ok(()))
}
