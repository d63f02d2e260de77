//! What messages need before they are sent.

use std::{fs::OpenOptions, io::Write as _};

use alerts::PushKeys;
use anyhow::Context;

use crate::{cli::PushKeysArgs, commands::say};

/// Makes the key by which browsers are notified. A key that is there already is never overwritten: with it every
/// subscription would be lost.
pub(crate) fn push_keys(args: &PushKeysArgs) -> anyhow::Result<()> {
    let key = PushKeys::made()?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&args.file).with_context(|| {
        format!(
            "cannot make {}; a key that is there is not overwritten",
            args.file.display()
        )
    })?;
    writeln!(file, "{key}")
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", args.file.display()))?;
    say(&format!(
        "key  {}\nName it in the configuration and restart:\n\n[messages]\npush_key_file = {:?}\npush_contact = \
         \"mailto:you@example.org\"",
        args.file.display(),
        args.file.display().to_string()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let args = PushKeysArgs {
            file: dir.path().join("push.key"),
        };
        push_keys(&args).unwrap();
        let text = std::fs::read_to_string(&args.file).unwrap();
        assert!(PushKeys::read(&text, "mailto:kitchen@example.org").is_ok());
        let again = push_keys(&args).unwrap_err();
        assert!(format!("{again:#}").contains("not overwritten"), "{again:#}");
        assert_eq!(std::fs::read_to_string(&args.file).unwrap(), text);
    }
}
