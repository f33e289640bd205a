//! What stands before a body on disk: what is read is written and read again as the same.

use tailwater_engine::envelope::Envelope;

pub(crate) fn run(bytes: &[u8]) {
    let Ok((envelope, body)) = Envelope::decode(bytes) else {
        return;
    };
    assert!(bytes.ends_with(body));
    let mut written = Vec::new();
    envelope.encode(&mut written);
    written.extend_from_slice(body);
    let again = Envelope::decode(&written);
    assert_eq!(again, Ok((envelope, body)));
}
