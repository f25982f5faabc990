//! `config.providers`: values that stand elsewhere, as `${provider:path:key}` (docs/spec/mm2.md 1.1, item 5).
//!
//! Kafka's own three: files of properties, directories of files, the environment.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use topology::{ConfigProvider, ConfigProviders, Properties};

/// More than any file of secrets.
const FILE_BYTES_MAX: u64 = 1 << 20;
const PREFIX: &str = "config.providers";
const CLASSES: &str = "org.apache.kafka.common.config.provider.";

/// Where files may stand; anywhere if it is empty. MM2: `allowed.paths`.
#[derive(Debug, Default)]
struct Allowed(Vec<PathBuf>);

impl Allowed {
    fn of(param: Option<&str>) -> Self {
        let paths = param.unwrap_or_default().split(',').map(str::trim);
        Self(
            paths
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
                .collect(),
        )
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        // Links and `..` must not lead out.
        let real = path.canonicalize().ok()?;
        let inside = |allowed: &PathBuf| {
            allowed
                .canonicalize()
                .is_ok_and(|allowed| real.starts_with(allowed))
        };
        if !(self.0.is_empty() || self.0.iter().any(inside)) {
            tracing::warn!(path = %path.display(), "not in allowed.paths of its config provider");
            return None;
        }
        let mut bytes = Vec::new();
        let file = File::open(real).ok()?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// `FileConfigProvider`: `${file:/path/to.properties:key}`.
#[derive(Debug)]
struct Files(Allowed);

impl ConfigProvider for Files {
    fn get(&self, path: &str, key: &str) -> Option<String> {
        let bytes = self.0.read(Path::new(path))?;
        Some(Properties::parse(&bytes).ok()?.get(key)?.to_owned())
    }
}

/// `DirectoryConfigProvider`: `${dir:/path:file}` is the file's content.
#[derive(Debug)]
struct Directory(Allowed);

impl ConfigProvider for Directory {
    fn get(&self, path: &str, key: &str) -> Option<String> {
        if key.contains('/') {
            return None;
        }
        let bytes = self.0.read(&Path::new(path).join(key))?;
        String::from_utf8(bytes).ok()
    }
}

/// `EnvVarConfigProvider`: `${env:NAME}`.
#[derive(Debug)]
struct Environment;

impl ConfigProvider for Environment {
    fn get(&self, path: &str, key: &str) -> Option<String> {
        path.is_empty().then(|| std::env::var(key).ok()).flatten()
    }
}

/// The providers that a worker's file names.
///
/// # Errors
/// A provider without a class, or of a class that is not here.
pub(crate) fn of(raw: &Properties) -> Result<ConfigProviders, String> {
    let mut providers = ConfigProviders::default();
    let names = raw.get(PREFIX).unwrap_or_default().split(',');
    for name in names.map(str::trim).filter(|name| !name.is_empty()) {
        let key = format!("{PREFIX}.{name}.class");
        let class = raw.get(&key).map(str::trim).ok_or_else(|| {
            format!("{key} is not set; write the class of provider {name}, as in {CLASSES}FileConfigProvider")
        })?;
        let paths = || Allowed::of(raw.get(&format!("{PREFIX}.{name}.param.allowed.paths")));
        let provider: Arc<dyn ConfigProvider> = match class.strip_prefix(CLASSES).unwrap_or(class) {
            "FileConfigProvider" => Arc::new(Files(paths())),
            "DirectoryConfigProvider" => Arc::new(Directory(paths())),
            "EnvVarConfigProvider" => Arc::new(Environment),
            _ => {
                return Err(format!(
                    "{key}: `{class}` is not supported by this version, only Kafka's FileConfigProvider, \
                     DirectoryConfigProvider and EnvVarConfigProvider"
                ));
            }
        };
        providers.add(name, provider);
    }
    Ok(providers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_from_files_directories_and_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().join("secrets.properties");
        std::fs::write(&secrets, "password = swordfish\n").unwrap();
        std::fs::write(folder.path().join("token"), "abc").unwrap();
        let lines = format!(
            "config.providers = file, dir,env\nconfig.providers.file.class = {CLASSES}FileConfigProvider\n\
             config.providers.dir.class = {CLASSES}DirectoryConfigProvider\n\
             config.providers.dir.param.allowed.paths = {}\n\
             config.providers.env.class = {CLASSES}EnvVarConfigProvider\n",
            folder.path().display()
        );
        let raw = Properties::parse(lines.as_bytes()).unwrap();
        let providers = of(&raw).unwrap();
        let at = folder.path().display();
        for (text, expected) in [
            (
                format!("x ${{file:{}:password}}", secrets.display()),
                "x swordfish".to_owned(),
            ),
            (format!("${{dir:{at}:token}}"), "abc".to_owned()),
            (
                "${env:CARGO_MANIFEST_DIR}".to_owned(),
                std::env::var("CARGO_MANIFEST_DIR").unwrap(),
            ),
            (
                "${dir:/etc:hostname}".to_owned(),
                "${dir:/etc:hostname}".to_owned(),
            ),
            (format!("${{dir:{at}:../x}}"), format!("${{dir:{at}:../x}}")),
        ] {
            assert_eq!(providers.resolve(&text), expected);
        }
    }

    #[test]
    fn other_providers_are_refused() {
        for (lines, start) in [
            (
                "config.providers = a",
                "config.providers.a.class is not set",
            ),
            (
                "config.providers = a\nconfig.providers.a.class = com.example.Vault",
                "config.providers.a.class: `com.example.Vault`",
            ),
        ] {
            let raw = Properties::parse(lines.as_bytes()).unwrap();
            assert!(of(&raw).unwrap_err().starts_with(start));
        }
    }
}
