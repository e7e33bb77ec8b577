//! The proxy before a server that echoes lines.

use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;
use crate::wait_for;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(30);

/// Answers every line with the same line, and remembers all bytes that came.
struct Echo {
    door: Door,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Echo {
    fn start() -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = heard.clone();
        let door = Door::open(SocketAddr::from(([127, 0, 0, 1], 0)), move |mut guest| {
            let heard = hears.clone();
            tokio::spawn(async move {
                let (mut reads, mut writes) = guest.stream.split();
                let mut buffer = [0; 1024];
                while let Ok(read @ 1..) = reads.read(&mut buffer).await {
                    lock(&heard).extend_from_slice(&buffer[..read]);
                    if writes.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
        });
        Self {
            door: door.unwrap(),
            heard,
        }
    }

    async fn heard(&self, bytes: &[u8]) {
        wait_for("the echo server to hear it", LONG, async || {
            (*lock(&self.heard) == bytes).then_some(())
        })
        .await;
    }
}

async fn stand() -> (Echo, FaultProxy) {
    let echo = Echo::start();
    let proxy = FaultProxy::start(echo.door.addr()).await.unwrap();
    (echo, proxy)
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(proxy: &FaultProxy) -> Self {
        Self(BufReader::new(TcpStream::connect(proxy.addr).await.unwrap()))
    }

    async fn say(&mut self, line: &str) {
        self.0.write_all(line.as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        tokio::time::timeout(LONG, self.0.read_line(&mut line))
            .await
            .expect("an answer or an end")?;
        Ok(line)
    }

    /// Nothing comes for a short while. It can only miss a fault, never invent one.
    async fn hears_nothing(&mut self) {
        let mut line = String::new();
        let heard = tokio::time::timeout(SHORT, self.0.read_line(&mut line)).await;
        assert!(heard.is_err(), "{heard:?} {line:?}");
    }
}

#[tokio::test]
async fn bytes_pass_both_ways_and_ends_are_passed_on() {
    let (_echo, proxy) = stand().await;
    let mut client = Client::connect(&proxy).await;
    client.say("one\n").await;
    assert_eq!(client.hear().await.unwrap(), "one\n");
    assert_eq!(proxy.connections(), 1);
    client.0.shutdown().await.unwrap();
    assert_eq!(client.hear().await.unwrap(), "");
    wait_for("the connection to end", LONG, async || {
        (proxy.connections() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cut_resets_and_refuses_until_mended() {
    let (_echo, proxy) = stand().await;
    let mut client = Client::connect(&proxy).await;
    client.say("one\n").await;
    client.hear().await.unwrap();
    proxy.cut().await;
    assert_eq!(proxy.connections(), 0);
    let reset = client.hear().await.unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(proxy.addr).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    proxy.mend();
    let mut client = Client::connect(&proxy).await;
    client.say("two\n").await;
    assert_eq!(client.hear().await.unwrap(), "two\n");
}

#[tokio::test]
async fn a_stall_holds_everything_and_loses_nothing() {
    let (echo, proxy) = stand().await;
    let mut client = Client::connect(&proxy).await;
    client.say("one\n").await;
    client.hear().await.unwrap();
    proxy.stall();
    client.say("two\n").await;
    client.hears_nothing().await;
    let mut other = Client::connect(&proxy).await;
    other.say("three\n").await;
    other.hears_nothing().await;
    echo.heard(b"one\n").await;
    proxy.mend();
    assert_eq!(client.hear().await.unwrap(), "two\n");
    assert_eq!(other.hear().await.unwrap(), "three\n");
}

#[tokio::test]
async fn a_stalled_connection_can_be_cut() {
    let (_echo, proxy) = stand().await;
    let mut client = Client::connect(&proxy).await;
    proxy.stall();
    client.say("one\n").await;
    proxy.cut().await;
    assert!(client.hear().await.is_err());
}

#[tokio::test]
async fn a_delay_is_felt() {
    let (_echo, proxy) = stand().await;
    proxy.delay(SHORT);
    let mut client = Client::connect(&proxy).await;
    let start = tokio::time::Instant::now();
    client.say("one\n").await;
    assert_eq!(client.hear().await.unwrap(), "one\n");
    assert!(start.elapsed() >= 2 * SHORT);
}

#[tokio::test]
async fn a_limit_cuts_within_a_message_and_only_once() {
    let (echo, proxy) = stand().await;
    let mut client = Client::connect(&proxy).await;
    proxy.reset_after(6);
    client.say("one\n").await;
    assert_eq!(client.hear().await.unwrap(), "one\n");
    client.say("two\n").await;
    let reset = client.hear().await.unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    echo.heard(b"one\ntw").await;
    let mut client = Client::connect(&proxy).await;
    client.say("more than six bytes\n").await;
    assert_eq!(client.hear().await.unwrap(), "more than six bytes\n");
}

#[tokio::test]
async fn an_answer_is_lost_while_the_question_arrives() {
    let (echo, proxy) = stand().await;
    let mut client = Client::connect(&proxy).await;
    proxy.reset_answers_after(0);
    client.say("one\n").await;
    let reset = client.hear().await.unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    echo.heard(b"one\n").await;
}

#[tokio::test]
async fn a_target_that_is_away_resets_the_client() {
    let (echo, proxy) = stand().await;
    echo.door.shut().await;
    let mut client = Client::connect(&proxy).await;
    assert!(client.hear().await.is_err());
}

#[tokio::test]
async fn it_is_quiet_from_the_last_byte_on() {
    let (_echo, proxy) = stand().await;
    let mut client = Client::connect(&proxy).await;
    wait_for("it to be quiet", LONG, async || {
        (proxy.quiet_for() > SHORT).then_some(())
    })
    .await;
    let before = Instant::now();
    client.say("one\n").await;
    assert_eq!(client.hear().await.unwrap(), "one\n");
    assert!(proxy.quiet_for() <= before.elapsed());
}
