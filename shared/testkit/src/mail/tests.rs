//! The server, spoken to in raw SMTP.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::prelude::{BASE64_STANDARD as BASE64, Engine};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::*;

const LONG: Duration = Duration::from_secs(10);
const ENVELOPE: &str = "EHLO test.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";

struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(server: &MailServer) -> Self {
        Self(BufReader::new(TcpStream::connect(server.addr).await.unwrap()))
    }

    /// The code of the next answer, which may have several lines; 0 at the end of the connection.
    async fn code(&mut self) -> u16 {
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(LONG, self.0.read_line(&mut line));
            if read.await.expect("an answer or an end").unwrap_or(0) == 0 {
                return 0;
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return line[..3].parse().unwrap();
            }
        }
    }

    async fn say(&mut self, lines: &str) {
        self.0.write_all(lines.as_bytes()).await.unwrap();
    }

    /// Says lines all at once and returns one answer for each of `answers`.
    async fn talk(&mut self, lines: &str, answers: usize) -> Vec<u16> {
        self.say(lines).await;
        let mut codes = Vec::new();
        for _ in 0..answers {
            codes.push(self.code().await);
        }
        codes
    }
}

async fn stand(settings: MailSettings) -> (MailServer, Client) {
    let server = MailServer::start_with("127.0.0.1:0", settings).await.unwrap();
    let mut client = Client::connect(&server).await;
    assert_eq!(client.code().await, 220);
    (server, client)
}

async fn plain() -> (MailServer, Client) {
    stand(MailSettings::default()).await
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "testkit-mail-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_pipelined_dialogue_is_kept_byte_for_byte() {
    let (server, mut client) = plain().await;
    let lines = format!("{ENVELOPE}Subject: hi\r\n\r\n..dot\r\nlast\r\n.\r\nNOOP\r\nQUIT\r\n");
    let codes = client.talk(&lines, 8).await;
    assert_eq!(codes, [250, 250, 250, 354, 250, 250, 221, 0]);
    let mails = server.wait_for_mails(1, LONG).await;
    assert_eq!(mails[0].from, "a@b.example");
    assert_eq!(mails[0].to, ["c@d.example"]);
    assert_eq!(mails[0].subject, "hi");
    assert_eq!(mails[0].raw, &b"Subject: hi\r\n\r\n.dot\r\nlast\r\n"[..]);
    assert_eq!((server.connections(), server.messages()), (1, 1));
}

#[tokio::test]
async fn the_order_of_commands_is_kept_to() {
    let (server, mut client) = plain().await;
    let before = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";
    assert_eq!(client.talk(before, 3).await, [503, 503, 503]);
    let half = "HELO test\r\nMAIL FROM:<>\r\nDATA\r\nMAIL FROM:<>\r\nRSET\r\nRCPT TO:<c@d.example>\r\n";
    let codes = client.talk(half, 6).await;
    assert_eq!(codes, [250, 250, 503, 503, 250, 503]);
    let codes = client
        .talk("AUTH PLAIN AGEAYg==\r\nHELP\r\nVRFY x\r\nnonsense\r\n", 4)
        .await;
    assert_eq!(codes, [502, 214, 252, 500]);
    assert_eq!(server.inbox(), []);
}

#[tokio::test]
async fn a_client_that_only_errs_is_let_go() {
    let (_server, mut client) = plain().await;
    let codes = client.talk(&"nonsense\r\n".repeat(25), 21).await;
    assert_eq!(codes[18..], [500, 421, 0]);
}

#[tokio::test]
async fn limits_are_answered_and_the_dialogue_goes_on() {
    let (server, mut client) = stand(MailSettings {
        max_message_bytes: 100,
        max_recipients: 1,
        ..MailSettings::default()
    })
    .await;
    let long = format!("NOOP {}\r\n", "x".repeat(20_000));
    assert_eq!(client.talk(&long, 1).await, [500]);
    let announced = "EHLO t\r\nMAIL FROM:<> SIZE=101\r\n";
    assert_eq!(client.talk(announced, 2).await, [250, 552]);
    let twice = "MAIL FROM:<> SIZE=100\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@f.example>\r\nDATA\r\n";
    assert_eq!(client.talk(twice, 4).await, [250, 250, 452, 354]);
    let body = format!("{}\r\n.\r\n", "x".repeat(200));
    assert_eq!(client.talk(&body, 1).await, [552]);
    let codes = client.talk(&format!("{ENVELOPE}fits\r\n.\r\n"), 5).await;
    assert_eq!(codes, [250, 250, 250, 354, 250]);
    assert_eq!(server.inbox().len(), 1);
}

#[tokio::test]
async fn too_many_connections_are_put_off() {
    let (server, first) = stand(MailSettings {
        max_connections: 1,
        ..MailSettings::default()
    })
    .await;
    assert_eq!(Client::connect(&server).await.code().await, 421);
    drop(first);
    crate::wait_for("a free place", LONG, async || {
        (Client::connect(&server).await.code().await == 220).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_silent_client_is_let_go() {
    let (_server, mut client) = stand(MailSettings {
        idle_timeout: Duration::from_millis(20),
        ..MailSettings::default()
    })
    .await;
    assert_eq!([client.code().await, client.code().await], [421, 0]);
}

#[tokio::test]
async fn mail_needs_the_login_where_there_is_one() {
    let login = Some(("user".to_owned(), "secret".to_owned()));
    let (_server, mut client) = stand(MailSettings {
        login,
        ..MailSettings::default()
    })
    .await;
    let wrong = BASE64.encode("\0user\0guess");
    let lines = format!("EHLO t\r\nMAIL FROM:<>\r\nAUTH PLAIN {wrong}\r\nAUTH PLAIN ?\r\n");
    assert_eq!(client.talk(&lines, 4).await, [250, 530, 535, 535]);
    let right = BASE64.encode("user\0user\0secret");
    let lines = format!("AUTH PLAIN\r\n{right}\r\nAUTH PLAIN {right}\r\nMAIL FROM:<>\r\n");
    assert_eq!(client.talk(&lines, 4).await, [334, 235, 503, 250]);
}

#[tokio::test]
async fn refused_recipients_are_refused_by_address() {
    let (server, mut client) = plain().await;
    server.refuse_recipient("Gone@D.example", 550);
    let lines = "EHLO t\r\nMAIL FROM:<>\r\nRCPT TO:<gone@d.example>\r\nRCPT TO:<c@d.example>\r\nRSET\r\n";
    assert_eq!(client.talk(lines, 5).await, [250, 250, 550, 250, 250]);
    server.accept_recipient("gone@d.example");
    let lines = "MAIL FROM:<>\r\nRCPT TO:<gone@d.example>\r\n";
    assert_eq!(client.talk(lines, 2).await, [250, 250]);
}

#[tokio::test]
async fn scripted_answers_strike_at_their_step_and_only_once() {
    let (server, mut client) = plain().await;
    server.script(
        [Step::Mail, Step::Rcpt, Step::Data, Step::Dot, Step::Kept].map(|at| Behaviour::Answer { at, code: 451 }),
    );
    let message = "RSET\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";
    assert_eq!(client.talk("EHLO t\r\n", 1).await, [250]);
    assert_eq!(client.talk(message, 4).await, [250, 451, 503, 503]);
    assert_eq!(client.talk(message, 4).await, [250, 250, 451, 503]);
    assert_eq!(client.talk(message, 4).await, [250, 250, 250, 451]);
    for kept in [0, 1] {
        assert_eq!(client.talk(message, 4).await, [250, 250, 250, 354]);
        assert_eq!(client.talk("hi\r\n.\r\n", 1).await, [451]);
        assert_eq!(server.inbox().len(), kept);
    }
    assert_eq!(client.talk(message, 4).await, [250, 250, 250, 354]);
    assert_eq!(client.talk("hi\r\n.\r\n", 1).await, [250]);
}

#[tokio::test]
async fn a_message_can_be_kept_without_a_word() {
    let (server, mut client) = plain().await;
    server.script([
        Behaviour::Close { at: Step::Kept },
        Behaviour::Close { at: Step::Dot },
        Behaviour::Silent { at: Step::Kept },
    ]);
    let message = format!("{ENVELOPE}hi\r\n.\r\n");
    assert_eq!(client.talk(&message, 5).await, [250, 250, 250, 354, 0]);
    assert_eq!(server.inbox().len(), 1);
    for _ in 0..2 {
        client = Client::connect(&server).await;
        assert_eq!(client.talk(&message, 5).await, [220, 250, 250, 250, 354]);
    }
    assert_eq!(server.wait_for_mails(2, LONG).await.len(), 2);
    let silence = tokio::time::timeout(Duration::from_millis(30), client.code());
    assert!(silence.await.is_err());
}

#[tokio::test]
async fn connections_can_be_refused_in_every_way() {
    let (server, mut client) = plain().await;
    server.greet([Greeting::Answer(554), Greeting::Close, Greeting::Silent]);
    let mut refused = Client::connect(&server).await;
    assert_eq!([refused.code().await, refused.code().await], [554, 0]);
    assert_eq!(Client::connect(&server).await.code().await, 0);
    let mut silent = Client::connect(&server).await;
    let nothing = tokio::time::timeout(Duration::from_millis(30), silent.code());
    assert!(nothing.await.is_err());

    server.down().await;
    assert_eq!(client.code().await, 0);
    assert_eq!(silent.0.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(server.addr).await.is_err());
    server.up().unwrap();
    assert_eq!(Client::connect(&server).await.code().await, 220);
}

#[tokio::test]
async fn mail_is_written_to_the_directory_and_never_over_older_mail() {
    let scratch = Scratch::new();
    for run in 1..=2 {
        let (_server, mut client) = stand(MailSettings {
            directory: Some(scratch.0.clone()),
            ..MailSettings::default()
        })
        .await;
        let message = format!("{ENVELOPE}run {run}\r\n.\r\n");
        assert_eq!(client.talk(&message, 5).await[4], 250);
    }
    for run in 1..=2 {
        let file = scratch.0.join(format!("00000{run}.eml"));
        assert_eq!(std::fs::read_to_string(file).unwrap(), format!("run {run}\r\n"));
    }
}

#[tokio::test]
async fn a_mail_that_cannot_be_written_is_put_off() {
    let scratch = Scratch::new();
    let (server, mut client) = stand(MailSettings {
        directory: Some(scratch.0.clone()),
        ..MailSettings::default()
    })
    .await;
    std::fs::remove_dir_all(&scratch.0).unwrap();
    let message = format!("{ENVELOPE}hi\r\n.\r\n");
    assert_eq!(client.talk(&message, 5).await[4], 451);
    assert_eq!(server.inbox(), []);
}
