//! SMTP commands as text: what a client may say, and the answer to what it may not.

/// One command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Ehlo,
    Helo,
    Mail {
        from: String,
        /// The `SIZE` the client announced.
        bytes: Option<usize>,
    },
    Rcpt(String),
    Data,
    Rset,
    Noop,
    Quit,
    Help,
    Vrfy,
    /// `AUTH PLAIN`, with the initial response where it came along.
    AuthPlain(Option<String>),
}

/// Reply code and text.
pub(super) type Reply = (u16, &'static str);

const BAD_ADDRESS: Reply = (501, "an address in angle brackets was expected");
const BAD_PARAMETER: Reply = (555, "parameter not known here");

impl Command {
    pub(super) fn parse(line: &str) -> Result<Self, Reply> {
        let line = line.trim_end();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" if !rest.is_empty() => Ok(Self::Ehlo),
            "HELO" if !rest.is_empty() => Ok(Self::Helo),
            "EHLO" | "HELO" => Err((501, "say who you are")),
            "MAIL" => parse_mail(rest),
            "RCPT" => parse_rcpt(rest),
            "DATA" if rest.is_empty() => Ok(Self::Data),
            "RSET" if rest.is_empty() => Ok(Self::Rset),
            "QUIT" if rest.is_empty() => Ok(Self::Quit),
            "DATA" | "RSET" | "QUIT" => Err((501, "no parameter was expected")),
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "VRFY" => Ok(Self::Vrfy),
            "AUTH" => parse_auth(rest),
            "EXPN" | "TURN" | "STARTTLS" | "BDAT" => Err((502, "not offered here")),
            _ => Err((500, "not an SMTP command")),
        }
    }
}

fn parse_mail(rest: &str) -> Result<Command, Reply> {
    let (from, parameters) = path(after(rest, "FROM:")?)?;
    let mut bytes = None;
    for parameter in parameters.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (name.to_ascii_uppercase().as_str(), value) {
            ("SIZE", size) => bytes = Some(size.parse().map_err(|_| (501, "SIZE is a number"))?),
            ("BODY", kind) if ["7BIT", "8BITMIME"].contains(&&*kind.to_ascii_uppercase()) => {}
            ("SMTPUTF8", "") | ("AUTH", _) => {}
            _ => return Err(BAD_PARAMETER),
        }
    }
    Ok(Command::Mail { from, bytes })
}

fn parse_rcpt(rest: &str) -> Result<Command, Reply> {
    let (to, parameters) = path(after(rest, "TO:")?)?;
    if to.is_empty() {
        return Err(BAD_ADDRESS);
    }
    if !parameters.trim().is_empty() {
        return Err(BAD_PARAMETER);
    }
    Ok(Command::Rcpt(to))
}

fn parse_auth(rest: &str) -> Result<Command, Reply> {
    let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
    if !mechanism.eq_ignore_ascii_case("PLAIN") {
        return Err((504, "only PLAIN is known here"));
    }
    let initial = initial.trim();
    Ok(Command::AuthPlain((!initial.is_empty()).then(|| initial.to_owned())))
}

fn after<'a>(rest: &'a str, word: &str) -> Result<&'a str, Reply> {
    match rest.split_at_checked(word.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(word) => Ok(rest.trim_start()),
        _ => Err((501, "FROM: or TO: was expected")),
    }
}

/// `<address> parameters`. A source route (`@a,@b:`) is dropped, as RFC 5321 asks.
fn path(text: &str) -> Result<(String, &str), Reply> {
    let inner = text.strip_prefix('<').ok_or(BAD_ADDRESS)?;
    let mut quoted = false;
    let mut escaped = false;
    let end = inner.find(|letter| {
        let ends = letter == '>' && !quoted;
        quoted ^= letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        ends
    });
    let end = end.ok_or(BAD_ADDRESS)?;
    let (address, rest) = (&inner[..end], &inner[end + 1..]);
    let address = match address.split_once(':') {
        Some((route, address)) if route.starts_with('@') => address,
        _ => address,
    };
    if address.chars().any(char::is_control) || address.len() > 320 {
        return Err(BAD_ADDRESS);
    }
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(BAD_ADDRESS);
    }
    Ok((address.to_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(from: &str, bytes: Option<usize>) -> Result<Command, Reply> {
        Ok(Command::Mail {
            from: from.to_owned(),
            bytes,
        })
    }

    #[test]
    fn commands_are_read_in_any_case() {
        for (line, command) in [
            ("ehlo host.example", Ok(Command::Ehlo)),
            ("HELO [127.0.0.1]", Ok(Command::Helo)),
            ("data", Ok(Command::Data)),
            ("NOOP whatever", Ok(Command::Noop)),
            ("Mail From:<a@b.example>", mail("a@b.example", None)),
            ("MAIL FROM:<>", mail("", None)),
            (
                "MAIL FROM: <a@b.example> SIZE=77 BODY=8bitmime SMTPUTF8 AUTH=<>",
                mail("a@b.example", Some(77)),
            ),
            (
                "RCPT TO:<\"a> b\"@c.example>",
                Ok(Command::Rcpt("\"a> b\"@c.example".into())),
            ),
            (
                "RCPT TO:<@relay.example:a@b.example>",
                Ok(Command::Rcpt("a@b.example".into())),
            ),
            ("RCPT TO:<почта@пример.рф>", Ok(Command::Rcpt("почта@пример.рф".into()))),
            ("AUTH PLAIN", Ok(Command::AuthPlain(None))),
            ("auth plain AGEAYg==", Ok(Command::AuthPlain(Some("AGEAYg==".into())))),
        ] {
            assert_eq!(Command::parse(line), command, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_answered_with_its_code() {
        for (line, code) in [
            ("", 500),
            ("GET / HTTP/1.1", 500),
            ("EHLO", 501),
            ("DATA now", 501),
            ("MAIL FROM:a@b.example", 501),
            ("MAIL <a@b.example>", 501),
            ("MAIL FROM:<a@b.example", 501),
            ("MAIL FROM:<a@b.example>SIZE=1", 501),
            ("MAIL FROM:<a@b.example> SIZE=many", 501),
            ("MAIL FROM:<a@b.example> BODY=BINARYMIME", 555),
            ("MAIL FROM:<a@b.example> FUTURE=1", 555),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<a\u{7}@b.example>", 501),
            ("RCPT TO:<a@b.example> NOTIFY=NEVER", 555),
            ("STARTTLS", 502),
            ("AUTH CRAM-MD5", 504),
        ] {
            assert_eq!(Command::parse(line).unwrap_err().0, code, "{line}");
        }
    }
}
