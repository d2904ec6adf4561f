//! The scripts by their hash, and how one is called.

use std::sync::LazyLock;

use redis::Cmd;
use sha1::{Digest, Sha1};

/// A Lua script with what all of them begin with.
#[derive(Debug)]
pub(super) struct Script {
    text: String,
    sha: String,
}

/// Builds the arguments of one call.
pub(super) struct Call(Cmd);

macro_rules! scripts {
    ($($name:ident $file:literal;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file))));)*

        /// Every script, to be loaded into a server that has not seen them.
        pub(super) fn all() -> Vec<&'static Script> {
            vec![$(&*$name),*]
        }
    };
}

scripts! {
    ADMIT "admit.lua";
    APPLY "apply.lua";
    CANCEL "cancel.lua";
    CLAIM "claim.lua";
    EDIT "edit.lua";
    EXTEND "extend.lua";
    HELD "held.lua";
    LANES "lanes.lua";
    LEAVE "leave.lua";
    MARK "mark.lua";
    PEEK "peek.lua";
    RELEASE "release.lua";
    REPLAY "replay.lua";
    ROWS "rows.lua";
    SWEEP "sweep.lua";
    TAKE_IN "take_in.lua";
    TURN "turn.lua";
    WEBHOOK "webhook.lua";
}

// === impl Script, Call ===

impl Script {
    fn new(own: &str) -> Self {
        let text = format!("{}\n{own}", include_str!("scripts/begin.lua"));
        let sha = hex::encode(Sha1::digest(&text));
        Self { text, sha }
    }

    /// A call of this script on the shard whose keys begin with `base`.
    pub(super) fn on(&self, base: &str) -> Call {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.sha).arg(1).arg(base);
        Call(command)
    }

    /// The command that makes the script known to a server.
    pub(super) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(&self.text);
        command
    }
}

impl Call {
    /// One more argument.
    pub(super) fn bytes(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.arg(bytes.as_ref());
        self
    }

    /// One more argument, a number.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.0.arg(number);
        self
    }

    pub(super) fn done(self) -> Cmd {
        self.0
    }
}
