//! Signing against the specification's own known answer, and everything that must not be believed.

use super::*;

const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const AT: i64 = 1_649_367_553;
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

fn secrets(text: &str) -> Secrets {
    Secrets::parse(text).unwrap()
}

fn headers<'a>(timestamp: &'a str, signature: &'a str) -> Headers<'a> {
    Headers {
        id: Some(ID),
        timestamp: Some(timestamp),
        signature: Some(signature),
    }
}

#[test]
fn known_answers_of_the_reference_libraries() {
    assert_eq!(sign(&secrets(KEY), ID, AT, BODY), SIGNATURE);
    let second = sign(
        &secrets(OTHER),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        br#"{"test": 2432232314}"#,
    );
    assert_eq!(second, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn believes_what_was_signed_within_the_tolerance() {
    for now in [AT - TOLERANCE_SECONDS, AT, AT + TOLERANCE_SECONDS] {
        assert_eq!(
            verify(&secrets(KEY), headers("1649367553", SIGNATURE), BODY, now),
            Ok(AT)
        );
    }
}

#[test]
fn a_reader_may_have_a_tolerance_of_its_own() {
    let verify_at = |now, tolerance| {
        let clock = Clock { now, tolerance };
        verify(&secrets(KEY), headers("1649367553", SIGNATURE), BODY, clock)
    };
    assert_eq!(verify_at(AT + 30, 30), Ok(AT));
    assert_eq!(verify_at(AT + 31, 30), Err(Rejection::TooOld));
    assert_eq!(verify_at(AT - 31, 30), Err(Rejection::TooNew));
    assert_eq!(verify_at(AT + 3600, 3600), Ok(AT));
}

#[test]
fn refuses_the_wrong_time() {
    let verify_at = |now| verify(&secrets(KEY), headers("1649367553", SIGNATURE), BODY, now);
    assert_eq!(verify_at(AT + TOLERANCE_SECONDS + 1), Err(Rejection::TooOld));
    assert_eq!(verify_at(AT - TOLERANCE_SECONDS - 1), Err(Rejection::TooNew));
    for odd in ["", "-1", "+1649367553", "1649367553.0", " 1649367553", "soon"] {
        let refused = verify(&secrets(KEY), headers(odd, SIGNATURE), BODY, AT);
        assert_eq!(refused, Err(Rejection::Header(TIMESTAMP_HEADER)), "{odd:?}");
    }
    let huge = verify(&secrets(KEY), headers("99999999999999999999", SIGNATURE), BODY, AT);
    assert_eq!(huge, Err(Rejection::TooNew));
}

#[test]
fn refuses_any_change_of_what_was_signed() {
    let key = secrets(KEY);
    let other_id = Headers {
        id: Some("msg_other"),
        ..headers("1649367553", SIGNATURE)
    };
    assert_eq!(verify(&key, other_id, BODY, AT), Err(Rejection::Signature));
    assert_eq!(
        verify(&key, headers("1649367554", SIGNATURE), BODY, AT),
        Err(Rejection::Signature)
    );
    assert_eq!(
        verify(&key, headers("1649367553", SIGNATURE), b"{}", AT),
        Err(Rejection::Signature)
    );
    assert_eq!(
        verify(&secrets(OTHER), headers("1649367553", SIGNATURE), BODY, AT),
        Err(Rejection::Signature)
    );
}

#[test]
fn refuses_cut_empty_and_foreign_signatures() {
    for signature in [
        "",
        "v1,",
        "v1",
        "v1,tZ1I",
        "v1a,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ",",
        "v1,%%%",
        "v2,x",
    ] {
        let refused = verify(&secrets(KEY), headers("1649367553", signature), BODY, AT);
        assert_eq!(refused, Err(Rejection::Signature), "{signature:?}");
    }
}

#[test]
fn refuses_missing_headers_and_an_ambiguous_id() {
    let whole = headers("1649367553", SIGNATURE);
    let missing = [
        (Headers { id: None, ..whole }, ID_HEADER),
        (Headers { id: Some(""), ..whole }, ID_HEADER),
        (
            Headers {
                id: Some("a.1"),
                ..whole
            },
            ID_HEADER,
        ),
        (
            Headers {
                timestamp: None,
                ..whole
            },
            TIMESTAMP_HEADER,
        ),
        (
            Headers {
                signature: None,
                ..whole
            },
            SIGNATURE_HEADER,
        ),
    ];
    for (headers, name) in missing {
        assert_eq!(verify(&secrets(KEY), headers, BODY, AT), Err(Rejection::Header(name)));
    }
}

#[test]
fn while_a_secret_rotates_either_side_may_be_ahead() {
    let both = secrets(&format!("{KEY}, {OTHER}"));
    let signed = sign(&both, ID, AT, BODY);
    assert_eq!(signed.split(' ').count(), 2);
    for one in [KEY, OTHER] {
        assert_eq!(verify(&secrets(one), headers("1649367553", &signed), BODY, AT), Ok(AT));
        let by_one = sign(&secrets(one), ID, AT, BODY);
        assert_eq!(verify(&both, headers("1649367553", &by_one), BODY, AT), Ok(AT));
    }
}

#[test]
fn secrets_are_parsed_strictly_and_never_shown() {
    assert_eq!(Secret::parse("").unwrap_err(), SecretError::Missing);
    assert_eq!(Secrets::parse(" , ").unwrap_err(), SecretError::Missing);
    assert_eq!(
        Secret::parse("C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap_err(),
        SecretError::Prefix
    );
    assert_eq!(Secret::parse("whsec_").unwrap_err(), SecretError::Base64);
    assert_eq!(Secret::parse("whsec_!").unwrap_err(), SecretError::Base64);
    assert!(
        Secret::parse("whsec_c2hvcnQ").unwrap().is_weak(),
        "without padding, and short"
    );
    assert!(!secrets(KEY).any_weak());
    let shown = format!("{:?} {:?}", Secret::parse(KEY).unwrap(), secrets(KEY));
    assert!(!shown.contains("C2FV") && !shown.contains("11,"), "{shown}");
}
