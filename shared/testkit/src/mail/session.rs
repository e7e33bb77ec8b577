//! One SMTP connection from greeting to end. The scripted behaviour of a message is chosen at its `MAIL FROM` and
//! strikes at its step; everything else is what RFC 5321 says.

use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::command::{Command, Reply};
use super::wire::{Body, Line, Wire};
use super::{Behaviour, Greeting, Mail, Office, Step};
use crate::door::Guest;

/// What the server calls itself.
const NAME: &str = "testkit.localhost";
/// A client that is refused so often does not speak SMTP.
const MAX_ERRORS: usize = 20;

/// Serves one connection until either side ends it.
pub(super) async fn serve(guest: Guest, office: Arc<Office>) {
    let Guest {
        stream,
        gone,
        stay: _stay,
    } = guest;
    let mut wire = Wire::new(stream, office.settings.idle_timeout);
    let Some((_present, greeting)) = office.enter() else {
        let _ = wire.say("421 too many connections\r\n").await;
        return;
    };
    let mut session = Session {
        wire,
        office,
        greeted: false,
        logged_in: false,
        letter: None,
        errors: 0,
    };
    gone.run_until_cancelled(session.run(greeting)).await;
}

struct Session {
    wire: Wire,
    office: Arc<Office>,
    greeted: bool,
    logged_in: bool,
    letter: Option<Letter>,
    errors: usize,
}

/// A message between `MAIL FROM` and its final dot.
struct Letter {
    from: String,
    to: Vec<String>,
    behaviour: Behaviour,
}

/// The connection is over.
struct Left;

impl From<io::Error> for Left {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Session {
    async fn run(&mut self, greeting: Greeting) {
        let _ = match greeting {
            Greeting::Accept => self.talk().await,
            Greeting::Answer(code) => self.say((code, "so it is scripted")).await,
            Greeting::Silent => {
                self.wire.ignore().await;
                Ok(())
            }
            Greeting::Close => Ok(()),
        };
    }

    async fn talk(&mut self) -> Result<(), Left> {
        self.say((220, "testkit.localhost ESMTP")).await?;
        loop {
            let line = match self.wire.line().await {
                Ok(line) => line,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return self.say((421, "you say nothing, so goodbye")).await;
                }
                Err(_) => return Err(Left),
            };
            let command = match line {
                Line::Text(text) => Command::parse(&text),
                Line::TooLong => Err((500, "the line is too long")),
                Line::End => return Ok(()),
            };
            let refused = match command {
                Ok(Command::Quit) => return self.say((221, "goodbye")).await,
                Ok(command) => self.obey(command).await?,
                Err(refusal) => Some(refusal),
            };
            if let Some(refusal) = refused {
                self.errors += 1;
                if self.errors >= MAX_ERRORS {
                    return self.say((421, "too many errors")).await;
                }
                self.say(refusal).await?;
            }
        }
    }

    /// Carries a command out and answers it, or says why not.
    async fn obey(&mut self, command: Command) -> Result<Option<Reply>, Left> {
        match command {
            Command::Ehlo | Command::Helo => {
                self.greeted = true;
                self.letter = None;
                self.introduce(command == Command::Ehlo).await?;
            }
            Command::Mail { from, bytes } => return self.begin(from, bytes).await,
            Command::Rcpt(to) => return self.address(to).await,
            Command::Data => return self.receive().await,
            Command::AuthPlain(initial) => return self.log_in(initial).await,
            Command::Rset => {
                self.letter = None;
                self.say((250, "forgotten")).await?;
            }
            Command::Noop => self.say((250, "still here")).await?,
            Command::Help => self.say((214, "see RFC 5321")).await?,
            Command::Vrfy => self.say((252, "send it and see")).await?,
            Command::Quit => return Err(Left),
        }
        Ok(None)
    }

    async fn introduce(&mut self, extended: bool) -> Result<(), Left> {
        if !extended {
            return self.say((250, NAME)).await;
        }
        let mut lines = vec![
            NAME.to_owned(),
            "PIPELINING".to_owned(),
            "8BITMIME".to_owned(),
            "SMTPUTF8".to_owned(),
            format!("SIZE {}", self.office.settings.max_message_bytes),
        ];
        if self.office.settings.login.is_some() {
            lines.push("AUTH PLAIN".to_owned());
        }
        let last = lines.len() - 1;
        for (n, line) in lines.iter().enumerate() {
            let dash = if n == last { ' ' } else { '-' };
            self.wire.say(&format!("250{dash}{line}\r\n")).await?;
        }
        Ok(())
    }

    async fn log_in(&mut self, initial: Option<String>) -> Result<Option<Reply>, Left> {
        let Some((user, password)) = self.office.settings.login.clone() else {
            return Ok(Some((502, "nobody has to log in here")));
        };
        if !self.greeted || self.logged_in || self.letter.is_some() {
            return Ok(Some((503, "not now")));
        }
        let response = match initial {
            Some(initial) => initial,
            None => {
                self.wire.say("334 \r\n").await?;
                match self.wire.line().await? {
                    Line::Text(text) => text,
                    Line::TooLong => return Ok(Some((500, "the line is too long"))),
                    Line::End => return Err(Left),
                }
            }
        };
        let shown = BASE64_STANDARD.decode(response).unwrap_or_default();
        let expected = format!("\0{user}\0{password}");
        // The identity to act as may be repeated before the first NUL.
        if shown.strip_prefix(user.as_bytes()).unwrap_or(&shown) != expected.as_bytes() {
            return Ok(Some((535, "wrong user or password")));
        }
        self.logged_in = true;
        self.say((235, "welcome")).await?;
        Ok(None)
    }

    async fn begin(&mut self, from: String, bytes: Option<usize>) -> Result<Option<Reply>, Left> {
        if !self.greeted || self.letter.is_some() {
            return Ok(Some((503, "not now")));
        }
        if self.office.settings.login.is_some() && !self.logged_in {
            return Ok(Some((530, "log in first")));
        }
        if bytes > Some(self.office.settings.max_message_bytes) {
            return Ok(Some((552, "that is too large")));
        }
        let behaviour = self.office.next_behaviour();
        if self.strike(&behaviour, Step::Mail).await? {
            return Ok(None);
        }
        self.letter = Some(Letter {
            from,
            to: Vec::new(),
            behaviour,
        });
        self.say((250, "go on")).await?;
        Ok(None)
    }

    async fn address(&mut self, to: String) -> Result<Option<Reply>, Left> {
        let Some(letter) = &self.letter else {
            return Ok(Some((503, "from whom?")));
        };
        if letter.to.len() >= self.office.settings.max_recipients {
            return Ok(Some((452, "too many recipients")));
        }
        if let Some(code) = self.office.refusal(&to) {
            return Ok(Some((code, "no mail for this address")));
        }
        let behaviour = letter.behaviour.clone();
        if self.strike(&behaviour, Step::Rcpt).await? {
            return Ok(None);
        }
        if let Some(letter) = &mut self.letter {
            letter.to.push(to);
        }
        self.say((250, "go on")).await?;
        Ok(None)
    }

    async fn receive(&mut self) -> Result<Option<Reply>, Left> {
        let letter = match self.letter.take() {
            Some(letter) if !letter.to.is_empty() => letter,
            other => {
                self.letter = other;
                return Ok(Some((503, "for whom?")));
            }
        };
        if self.strike(&letter.behaviour, Step::Data).await? {
            return Ok(None);
        }
        self.say((354, "end with a dot")).await?;
        let raw = match self.wire.body(self.office.settings.max_message_bytes).await? {
            Body::Whole(raw) => {
                crate::leak::search("a mail", &raw);
                raw
            }
            Body::TooLarge => return Ok(Some((552, "that was too large"))),
            Body::End => return Err(Left),
        };
        if self.strike(&letter.behaviour, Step::Dot).await? {
            return Ok(None);
        }
        let mail = Mail::parse(letter.from, letter.to, raw);
        if let Err(error) = self.office.keep(mail).await {
            tracing::error!(%error, "a mail could not be written");
            return Ok(Some((451, "it could not be stored")));
        }
        if !self.strike(&letter.behaviour, Step::Kept).await? {
            self.say((250, "kept")).await?;
        }
        Ok(None)
    }

    /// Whether the script has answered this step.
    async fn strike(&mut self, behaviour: &Behaviour, step: Step) -> Result<bool, Left> {
        match behaviour {
            Behaviour::Answer { at, code } if *at == step => {
                self.say((*code, "so it is scripted")).await?;
                Ok(true)
            }
            Behaviour::Silent { at } if *at == step => {
                self.wire.ignore().await;
                Err(Left)
            }
            Behaviour::Close { at } if *at == step => Err(Left),
            _ => Ok(false),
        }
    }

    async fn say(&mut self, (code, text): Reply) -> Result<(), Left> {
        Ok(self.wire.say(&format!("{code} {text}\r\n")).await?)
    }
}
