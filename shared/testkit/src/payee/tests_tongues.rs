//! The payee's other tongues, and its ways to be wrong, spoken to in raw HTTP.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

async fn send(payee: &Payee, request: &str) -> String {
    let mut stream = TcpStream::connect(payee.addr).await.unwrap();
    let (line, body) = request.split_once('\n').unwrap_or((request, ""));
    let length = body.len();
    let whole =
        format!("{line} HTTP/1.1\r\nhost: payee\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(whole.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_osmp_tongue_is_spoken_in_a_query_and_in_a_form() {
    let payee = Payee::start().await.unwrap();
    let query = "command=pay&txn_id=17&account=a%20b%26&sum=150.05";
    let answer = send(&payee, &format!("GET /osmp?{query}")).await;
    for part in [
        "<osmp_txn_id>17<",
        "<sum>150.05<",
        "<result>0<",
        "<prv_txn>scripted-17<",
    ] {
        assert!(answer.contains(part), "{answer}");
    }
    let ledger = payee.ledger();
    assert_eq!(
        (ledger["17"].amount(), ledger["17"].text("account")),
        (15_005, Some("a b&"))
    );
    payee.set_repeats(Repeats::TurnedDown);
    let answer = send(&payee, &format!("POST /osmp\n{query}")).await;
    assert!(answer.contains("<result>300<"), "{answer}");
    assert_eq!(payee.credits("17"), 1);
    payee.set_repeats(Repeats::Credited);
    send(&payee, &format!("GET /osmp?{query}")).await;
    assert_eq!(payee.credits("17"), 2);
    let silent = send(&payee, "GET /osmp?command=pay&txn_id=18&account=&sum=1.00").await;
    assert!(
        silent.starts_with("HTTP/1.1 200") && silent.ends_with("\r\n\r\n"),
        "{silent}"
    );
    payee.script(
        Verb::Pay,
        [Behaviour::WhiteSpace, Behaviour::OtherSum, Behaviour::DatabaseDown],
    );
    let spaced = send(&payee, "GET /osmp?command=pay&txn_id=19&account=1&sum=1.00").await;
    assert!(spaced.contains("\r\n\r\n\r\n \t<?xml"), "{spaced}");
    let other = send(&payee, "GET /osmp?command=pay&txn_id=20&account=1&sum=1.00").await;
    assert!(other.contains("<sum>1.01<"), "{other}");
    let down = send(&payee, "GET /osmp?command=pay&txn_id=21&account=1&sum=1.00").await;
    assert!(down.starts_with("HTTP/1.1 500") && down.ends_with("\r\n\r\n"), "{down}");
    assert_eq!((payee.credits("20"), payee.credits("21")), (1, 0));
}

#[tokio::test]
async fn a_check_may_credit_and_two_at_once_may_be_doubled() {
    let payee = Payee::start().await.unwrap();
    payee.set_credits_on_check(true);
    send(&payee, "GET /osmp?command=check&txn_id=1&account=1&sum=1.00").await;
    assert_eq!(payee.credits("1"), 1);
    payee.set_doubles_at_once(true);
    payee.always(Verb::Pay, Behaviour::Hold);
    let first = send(&payee, "GET /osmp?command=pay&txn_id=2&account=1&sum=1.00");
    let second = async {
        payee.wait_for_requests(Verb::Pay, 1, Duration::from_secs(10)).await;
        payee.always(Verb::Pay, Behaviour::Accept);
        send(&payee, "GET /osmp?command=pay&txn_id=3&account=1&sum=1.00").await;
        payee.release();
    };
    tokio::join!(first, second);
    assert_eq!((payee.credits("2"), payee.credits("3")), (1, 2));
}

#[tokio::test]
async fn a_tongue_of_its_own_speaks_json_and_statuses() {
    let payee = Payee::start().await.unwrap();
    let paid = send(&payee, "PUT /rest/payments/7\n{\"account\": \"1\", \"amount\": 100}").await;
    assert!(
        paid.starts_with("HTTP/1.1 201") && paid.contains(r#""state":"done""#),
        "{paid}"
    );
    assert!(send(&payee, "GET /rest/payments/7").await.contains(r#""id":"7""#));
    assert!(send(&payee, "GET /rest/payments/8").await.starts_with("HTTP/1.1 404"));
    assert!(send(&payee, "POST /rest/cancel/7\n{}").await.contains("undone"));
    assert!(send(&payee, "GET /rest/accounts/1").await.contains("fine"));
}
