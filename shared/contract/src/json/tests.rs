//! Every refusal of the strict reader, and what it lets through.

use proptest::prelude::*;

use super::*;

fn detail(body: impl AsRef<[u8]>) -> String {
    parse(body.as_ref()).map_or_else(|refused| refused.detail, |_| "was read".to_owned())
}

/// An object with one member nested `depth` deep, the object itself counted.
fn nested(depth: usize) -> String {
    let lists = depth - 1;
    format!(r#"{{"a":{}{}}}"#, "[".repeat(lists), "]".repeat(lists))
}

#[test]
fn what_is_refused_and_where() {
    for (body, expected) in [
        (&b""[..], "EOF while parsing"),
        (b" ", "EOF while parsing"),
        (b"{", "EOF while parsing"),
        (br#"{"a":"#, "EOF while parsing"),
        (b"nonsense", "expected ident"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"7", "not a JSON object"),
        (b"\"a\"", "not a JSON object"),
        (b"{} {}", "trailing characters"),
        (b"{}x", "trailing characters"),
        (br#"{"a":1,}"#, "trailing comma"),
        (br#"{"a":1 "b":2}"#, "expected `,` or `}`"),
        (b"{a:1}", "key must be a string"),
        (b"{'a':1}", "key must be a string"),
        (b"{/* */}", "key must be a string"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"\xff\xfe{\0}\0", "not UTF-8"),
        (b"{\"a\":\"\xff\"}", "not UTF-8"),
        (b"{\"a\":\"\xed\xa0\x80\"}", "not UTF-8"),
        (b"{\"a\":\"\xc0\x80\"}", "not UTF-8"),
        (br#"{"a":NaN}"#, "expected value"),
        (br#"{"a":Infinity}"#, "expected value"),
        (br#"{"a":-Infinity}"#, "invalid number"),
        (br#"{"a":1e999}"#, "number out of range"),
        (br#"{"a":01}"#, "invalid number"),
        (br#"{"a":+1}"#, "expected value"),
        (br#"{"a":1.}"#, "invalid number"),
        (br#"{"a":.5}"#, "expected value"),
        (br#"{"a":tru}"#, "expected ident"),
        (br#"{"a":"\ud800"}"#, "hex escape"),
        (br#"{"a":"\ud800\ud800"}"#, "surrogate"),
        (br#"{"a":"\udc00"}"#, "lone leading surrogate"),
        (br#"{"a":"\ud800x"}"#, "hex escape"),
        (br#"{"\ud800":1}"#, "hex escape"),
        (br#"{"a":"\x41"}"#, "invalid escape"),
        (br#"{"a":1,"a":1}"#, "a: is given twice"),
        (br#"{"a":null,"a":1}"#, "a: is given twice"),
        (br#"{"a":1,"\u0061":1}"#, "a: is given twice"),
        (br#"{"b":{"a":1,"a":2}}"#, "b.a: is given twice"),
        (br#"{"x":[0,{"b":{"a":1,"a":2}}]}"#, "x[1].b.a: is given twice"),
        (b"{\"a\":\"x\ny\"}", "control character"),
        (b"{\"a\":\"x\x00y\"}", "control character"),
        (br#"{"a":"\u0000"}"#, "a: holds a control character"),
        (br#"{"a":"\n"}"#, "a: holds a control character"),
        (b"{\"a\":\"\x7f\"}", "a: holds a control character"),
        (
            "{\"a\":{\"b\":\"\u{85}\"}}".as_bytes(),
            "a.b: holds a control character",
        ),
        (br#"{"a":["",["\u009f"]]}"#, "a[1][0]: holds a control character"),
        (
            br#"{"\u0000":1}"#,
            "the message: the name of a member holds a control character",
        ),
        (
            br#"{"a":{"\t":1}}"#,
            "a: the name of a member holds a control character",
        ),
    ] {
        let detail = detail(body);
        assert!(
            detail.contains(expected),
            "{:?}: {detail}",
            String::from_utf8_lossy(body)
        );
        assert!(!has_control(&detail), "{detail}");
    }
}

#[test]
fn unknown_members_are_held_to_it_as_well() {
    for value in [r#""\ud800""#, r#"{"b":1,"b":1}"#, r#"[{"b":"\u0001"}]"#, "1e999", "nul"] {
        assert_ne!(detail(format!(r#"{{"unknown":{value}}}"#)), "was read", "{value}");
    }
}

#[test]
fn size_and_depth_have_limits() {
    let of_size = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
    assert_eq!(detail(of_size(MESSAGE_MAX_BYTES)), "was read");
    assert!(detail(of_size(MESSAGE_MAX_BYTES + 1)).contains("larger than 65536 bytes"));
    assert_eq!(detail(nested(JSON_MAX_DEPTH)), "was read");
    assert!(detail(nested(JSON_MAX_DEPTH + 1)).contains("nesting is deeper than 32"));
    assert!(detail("[".repeat(MESSAGE_MAX_BYTES)).contains("nesting is deeper than 32"));
    let objects = r#"{"a":"#.repeat(JSON_MAX_DEPTH + 1);
    assert!(detail(objects).contains("nesting is deeper than 32"));
}

#[test]
fn many_members_are_compared_too() {
    let members = |last: &str| {
        let many: Vec<String> = (0..2000).map(|n| format!(r#""k{n}":{n}"#)).collect();
        format!("{{{},{last}}}", many.join(","))
    };
    assert_eq!(detail(members(r#""k2000":0"#)), "was read");
    assert!(detail(members(r#""k777":0"#)).contains("k777: is given twice"));
}

#[test]
fn what_is_read() {
    let body =
        "\r\n\t {\"a\" : \"\\u0416\\n\", \"я\":[true,null,-3,1.0,1e2,-0,9223372036854775807,9223372036854775808]}\n";
    assert!(detail(body).contains("a: holds a control character"));
    let body = body.replace("\\n", "\\\"");
    let object = parse(body.as_bytes()).unwrap();
    assert_eq!(object.get("a"), Some(&Node::Text("Ж\"".into())));
    assert_eq!(object.get("b"), None);
    let Some(Node::List(list)) = object.get("я") else {
        panic!("{object:?}");
    };
    let other = || Node::OtherNumber;
    assert_eq!(
        *list,
        [
            Node::Bool,
            Node::Null,
            Node::Integer(-3),
            other(),
            other(),
            other(),
            Node::Integer(i64::MAX),
            other()
        ]
    );
    let nothing = parse(br#"{"a":null}"#).unwrap();
    assert_eq!(nothing.get("a"), None);
    assert_eq!(nothing.iter().count(), 0);
}

#[test]
fn texts_are_borrowed_where_they_can_be() {
    let object = parse(r#"{"a":"я\u0041","b":"я"}"#.as_bytes()).unwrap();
    assert!(matches!(object.get("a"), Some(Node::Text(Cow::Owned(_)))));
    assert!(matches!(object.get("b"), Some(Node::Text(Cow::Borrowed(_)))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&body);
    }

    #[test]
    fn what_looks_like_json_is_read_or_refused(body in r#"\{("[ab\\u0d8]{0,4}":([0-9.eE+-]{0,4}|"[a\\ud80]{0,8}"|\[|\]|\{|\}|null),?){0,6}\}?"#) {
        if let Err(refused) = parse(body.as_bytes()) {
            prop_assert!(!refused.detail.is_empty());
        }
    }

    #[test]
    fn what_is_read_is_json_to_everybody(body in r#"\{"a":[\[\]{}",:0-9eE.tfn\\u -]{0,12}\}"#) {
        if parse(body.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
        }
    }
}
