//! Evidence, checked by whoever holds a copy of it: no server, no database, no network.

use anyhow::{Context, bail};
use store::evidence::{PublicKey, verify};

use crate::{cli::EvidenceVerifyArgs, commands::say};

pub(crate) fn check(args: &EvidenceVerifyArgs) -> anyhow::Result<()> {
    let key = args.public_key.as_deref().map(read_key).transpose()?;
    let verification =
        verify(&args.path, key.as_ref()).with_context(|| format!("cannot check {}", args.path.display()))?;
    for problem in &verification.problems {
        say(&problem.to_string())?;
    }
    if verification.more > 0 {
        say(&format!("… and {} more", verification.more))?;
    }
    let signed = match (&key, &verification.public_key) {
        (Some(_), _) => "signed with the key given".to_owned(),
        (None, Some(found)) => format!(
            "signed with the key that lies beside it ({found}); compare it with one that you have from elsewhere, \
             and give that with --public-key"
        ),
        (None, None) => "not signed".to_owned(),
    };
    say(&format!(
        "{} lines, {} packages, {} files checked, {} removed by retention; {signed}",
        verification.lines, verification.packages, verification.blobs, verification.removed
    ))?;
    if !verification.is_sound() {
        bail!("this evidence is not as it was kept; the lines above say where");
    }
    say("Nothing was changed, added, taken away, reordered or cut off.")
}

fn read_key(path: &std::path::Path) -> anyhow::Result<PublicKey> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    PublicKey::parse(&text).with_context(|| {
        format!(
            "{} holds no Ed25519 public key, as PEM or 64 hexadecimal digits",
            path.display()
        )
    })
}
