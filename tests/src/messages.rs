//! Channels and contacts for tests, entered as another process would.

use anyhow::Context;
use domain::{
    Severity,
    duty::{Contact, ContactId, Reach, Step},
    message::{ChannelKind, ChannelSecrets, ChannelSettings, Language},
};
use store::{Vault, records::Channel};

use crate::TestApp;

/// The configuration with which messages may go to this machine.
pub const TO_THIS_MACHINE: &str = "[messages]\nnetworks = [\"127.0.0.0/8\"]\n";

/// The signing secret of the test's webhook.
pub const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

impl TestApp {
    /// Sets up a webhook that gets every notice of every facility.
    ///
    /// # Errors
    /// When the record store refuses it.
    pub async fn add_webhook(&self, url: &str) -> anyhow::Result<()> {
        let channel = Channel {
            name: "hook".into(),
            kind: ChannelKind::Webhook,
            settings: ChannelSettings {
                url: url.to_owned(),
                ..ChannelSettings::default()
            },
            has_secrets: false,
            enabled: true,
            tried_at: None,
            worked: None,
            said: String::new(),
            version: 0,
        };
        let secrets = ChannelSecrets {
            token: String::new(),
            secret: WEBHOOK_SECRET.into(),
        };
        let vault = Vault::open(self.data_dir()).context("no vault")?;
        self.records
            .put_channel(&channel, Some(&secrets), &vault, "test")
            .await?;
        let contact = Contact {
            id: ContactId(0),
            person: None,
            name: "a program".into(),
            language: Language::En,
            step: Step::Observer,
            reach: Reach::Everywhere,
            channel: "hook".into(),
            address: String::new(),
            least: Severity::P4,
            quiet: None,
            digest: None,
            digest_at: 480,
            shifts: Vec::new(),
            enabled: true,
        };
        self.records.put_contact(&contact, 0, "test").await?;
        Ok(())
    }
}
