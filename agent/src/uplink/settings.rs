//! Settings that a gateway has for this agent, on their way in, and the answer to them on its way out.

use tokio::sync::watch;
use weir_proto::flow::v1::SettingsAnswer;

pub use weir_proto::flow::v1::Settings;

/// The end of the connection: it is told settings and asks what became of them.
#[derive(Clone, Debug)]
pub struct Asked {
    settings: watch::Sender<Settings>,
    answers: watch::Receiver<SettingsAnswer>,
}

/// The end of the agent: it gets settings and says what became of them.
#[derive(Debug)]
pub struct Told {
    settings: watch::Receiver<Settings>,
    answers: watch::Sender<SettingsAnswer>,
}

/// Both ends. Only the latest settings count, and only the latest answer.
#[must_use]
pub fn settings() -> (Asked, Told) {
    let (tell, settings) = watch::channel(Settings::default());
    let (answer, answers) = watch::channel(SettingsAnswer::default());
    let asked = Asked {
        settings: tell,
        answers,
    };
    let told = Told {
        settings,
        answers: answer,
    };
    (asked, told)
}

impl Asked {
    /// The gateway has these settings for this agent.
    pub(super) fn tell(&self, settings: Settings) {
        self.settings.send_replace(settings);
    }

    /// The gateway has none.
    pub(super) fn tell_none(&self) {
        self.settings.send_if_modified(|settings| {
            let had_some = !settings.yaml.is_empty();
            *settings = Settings::default();
            had_some
        });
    }

    /// The next answer to the settings of `revision`.
    pub(super) async fn answer(&mut self, revision: u64) -> SettingsAnswer {
        loop {
            if self.answers.changed().await.is_err() {
                return std::future::pending().await;
            }
            let answer = self.answers.borrow_and_update().clone();
            if answer.revision == revision {
                return answer;
            }
        }
    }
}

impl Told {
    /// The next settings.
    pub async fn next(&mut self) -> Settings {
        if self.settings.changed().await.is_err() {
            return std::future::pending().await;
        }
        self.settings.borrow_and_update().clone()
    }

    /// Says what is wrong with the settings of `revision`; nothing, if they are in force.
    pub fn answer(&self, revision: u64, mistakes: Vec<String>) {
        self.answers
            .send_replace(SettingsAnswer { revision, mistakes });
    }
}
