//! Frames that a client library chokes on, mended before it sees them.

use super::*;

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind, 0, 1];
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame.push(0xce);
    frame
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

fn deliver(routing_key: &[u8]) -> Vec<u8> {
    [
        &[0, 60, 0, 60][..],
        &short(b"tag"),
        &[0; 9],
        &short(b"exchange"),
        &short(routing_key),
    ]
    .concat()
}

fn header(flags: u16, properties: &[u8]) -> Vec<u8> {
    [
        &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..],
        &flags.to_be_bytes(),
        properties,
    ]
    .concat()
}

/// Through the armour in portions of every size, which must not matter.
fn through(bytes: &[u8]) -> Vec<u8> {
    let mut outcomes = (1..=bytes.len().min(40)).chain([bytes.len()]).map(|portion| {
        let mut armour = Armour::default();
        let mut out = Vec::new();
        for part in bytes.chunks(portion) {
            armour.push(part);
            let mut target = [0; 7];
            loop {
                let count = armour.read(&mut target);
                if count == 0 {
                    break;
                }
                out.extend(&target[..count]);
            }
        }
        out
    });
    let first = outcomes.next().unwrap();
    assert!(outcomes.all(|other| other == first));
    first
}

#[test]
fn what_is_in_order_passes_untouched() {
    let properties = [
        long(&[short(b"unigate-version"), vec![b'I', 0, 0, 0, 1]].concat()),
        short("заказ-1".as_bytes()),
    ]
    .concat();
    let stream = [
        frame(METHOD, &deliver("касса".as_bytes())),
        frame(HEADER, &header(0x2400, &properties)),
        frame(BODY, b"\xff\xfe any bytes at all"),
        frame(HEARTBEAT, b""),
    ]
    .concat();
    assert_eq!(through(&stream), stream);
}

#[test]
fn broken_strings_become_question_marks() {
    let stream = frame(METHOD, &deliver(b"payment\xff.\xd0"));
    assert_eq!(through(&stream), frame(METHOD, &deliver(b"payment?.?")));
    // Correlation id, reply-to, type.
    let stream = frame(
        HEADER,
        &header(0x0620, &[short(b"\xc3"), short(b"ok"), short(b"a\x80b")].concat()),
    );
    assert_eq!(
        through(&stream),
        frame(
            HEADER,
            &header(0x0620, &[short(b"?"), short(b"ok"), short(b"a?b")].concat())
        )
    );
}

#[test]
fn keys_of_headers_are_mended_and_their_values_are_left() {
    let table = |key: &[u8]| long(&[short(key), b"S".to_vec(), long(b"\xff\xff")].concat());
    let stream = frame(HEADER, &header(0x2000, &table(b"\xe9t\xe9")));
    assert_eq!(through(&stream), frame(HEADER, &header(0x2000, &table(b"?t?"))));
}

#[test]
fn nesting_ends_in_a_byte_array() {
    let nested = |depth: usize| {
        (0..depth).fold(Vec::new(), |inner, _| {
            [short(b"k"), b"F".to_vec(), long(&inner)].concat()
        })
    };
    let shallow = frame(HEADER, &header(0x2000, &long(&nested(32))));
    assert_eq!(through(&shallow), shallow);
    let deep = frame(HEADER, &header(0x2000, &long(&nested(15_000))));
    let mut armour = Armour::default();
    armour.push(&deep);
    let mut mended = vec![0; deep.len()];
    assert_eq!(armour.read(&mut mended), deep.len());
    let changed: Vec<_> = (0..deep.len()).filter(|&place| deep[place] != mended[place]).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(mended[changed[0]], b'x');
}

fn entry(name: &[u8], value: &[u8]) -> Vec<u8> {
    [short(name), value.to_vec()].concat()
}

fn tune(frame_max: u32) -> Vec<u8> {
    let arguments = [&[0, 10, 0, 30, 7, 255][..], &frame_max.to_be_bytes(), &[0, 60]].concat();
    frame(METHOD, &arguments)
}

/// Two strings before the headers, one behind them.
fn crowded(table: &[u8]) -> Vec<u8> {
    header(
        0xe200,
        &[short(b"json"), short(b"gzip"), long(table), short(b"reply")].concat(),
    )
}

#[test]
fn of_headers_that_make_a_frame_too_large_only_the_brokers_own_are_left() {
    let count = entry(b"x-delivery-count", b"l\0\0\0\0\0\0\0\x03");
    let filler = |length| entry(b"filler", &[b"S".to_vec(), long(&vec![b'?'; length])].concat());
    let fitting = crowded(&filler(4096 - 8 - crowded(&filler(0)).len()));
    let large = crowded(&[filler(5000), count.clone()].concat());
    let stream = [
        tune(4096),
        frame(HEADER, &fitting),
        frame(HEADER, &large),
        frame(BODY, b"body"),
    ];
    let expected = [
        tune(4096),
        frame(HEADER, &fitting),
        frame(HEADER, &crowded(&count)),
        frame(BODY, b"body"),
    ];
    assert_eq!(through(&stream.concat()), expected.concat());
    // Lest what is left be too large as well: neither a forged list of deaths nor junk stays.
    let forged = entry(b"x-death", &[b"S".to_vec(), long(&[b'?'; 2000])].concat());
    let stream = [
        tune(4096),
        frame(HEADER, &crowded(&[forged, filler(5000)].concat())),
        frame(HEADER, &header(0, &[7; 5000])),
    ];
    let expected = [tune(4096), frame(HEADER, &crowded(b"")), frame(HEADER, &header(0, b""))];
    assert_eq!(through(&stream.concat()), expected.concat());
}

#[test]
fn the_smaller_limit_of_frames_is_agreed_on() {
    for (ours, theirs, agreed) in [
        (0, 0, 0),
        (0, 8192, 8192),
        (5000, 8192, 5000),
        (5000, 0, 5000),
        (0, 1, 4096),
    ] {
        let mut armour = Armour::with_frame_max(ours);
        armour.push(&tune(theirs));
        assert_eq!(armour.frame_max, agreed);
    }
}

#[test]
fn an_unreadable_table_becomes_opaque() {
    for length in 2..12_u8 {
        let mut payload = header(0x2000, &long(&vec![b'?'; usize::from(length)]));
        mend::header(&mut payload);
        let mut again = payload.clone();
        mend::header(&mut again);
        assert_eq!(payload, again, "length {length}: readable now");
    }
}

#[test]
fn the_broker_is_asked_its_version() {
    let properties = [
        short(b"capabilities"),
        b"F".to_vec(),
        long(&[short(b"basic.nack"), vec![b't', 1]].concat()),
        short(b"product"),
        b"S".to_vec(),
        long(b"RabbitMQ"),
        short(b"version"),
        b"S".to_vec(),
        long(b"3.10.8"),
    ]
    .concat();
    let start = [
        &[0, 10, 0, 10, 0, 9][..],
        &long(&properties),
        &long(b"PLAIN"),
        &long(b"en_US"),
    ]
    .concat();
    let mut armour = Armour::default();
    armour.push(&frame(METHOD, &start));
    assert_eq!(armour.take_greeting().unwrap().to_string(), "RabbitMQ 3.10.8");
    assert_eq!(armour.take_greeting(), None);
}

#[test]
fn what_is_not_amqp_passes_for_the_library_to_refuse() {
    for foreign in [
        &b"AMQP\0\0\x09\x01"[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\0\x02\x02\x16",
    ] {
        assert_eq!(through(foreign), foreign);
    }
}
