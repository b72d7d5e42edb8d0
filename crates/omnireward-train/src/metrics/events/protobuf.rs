//! The messages of `tensorflow/core/util/event.proto` and `summary.proto` that are written here, in the wire format of
//! Protocol Buffers: before each field its number and type in a varint, then its bytes.

/// `tensorflow.Event`.
#[derive(Debug)]
pub(super) struct Event<'a> {
    /// Seconds since 1970.
    pub(super) wall_time: f64,
    pub(super) step: u64,
    pub(super) what: What<'a>,
}

/// What an event says: its `oneof`.
#[derive(Debug)]
pub(super) enum What<'a> {
    /// The first of a file.
    FileVersion(&'static str),
    /// Numbers under their tags: a `Summary` of simple values.
    Scalars(&'a [(String, f64)]),
    /// A `SessionLog` that says that what follows begins at this step.
    SessionStart,
}

impl Event<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut message = Message::default();
        message.double(1, self.wall_time);
        message.varint(2, self.step);
        match self.what {
            What::FileVersion(version) => message.bytes(3, version.as_bytes()),
            What::Scalars(scalars) => message.bytes(5, &summary(scalars)),
            What::SessionStart => message.bytes(7, &session_start()),
        }
        message.0
    }
}

/// `tensorflow.Summary`.
fn summary(scalars: &[(String, f64)]) -> Vec<u8> {
    let mut summary = Message::default();
    for (tag, value) in scalars {
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes());
        entry.float(2, *value as f32);
        summary.bytes(1, &entry.0);
    }
    summary.0
}

/// `tensorflow.SessionLog`.
fn session_start() -> Vec<u8> {
    const START: u64 = 1;
    let mut log = Message::default();
    log.varint(1, START);
    log.0
}

/// How a field's bytes are told from the next field's.
#[derive(Clone, Copy, Debug)]
enum WireType {
    Varint = 0,
    EightBytes = 1,
    Length = 2,
    FourBytes = 5,
}

#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, field: u64, value: u64) {
        self.begin(field, WireType::Varint);
        self.push(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.begin(field, WireType::EightBytes);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.begin(field, WireType::FourBytes);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Bytes, a text or a message.
    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.begin(field, WireType::Length);
        self.push(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn begin(&mut self, field: u64, wire: WireType) {
        self.push((field << 3) | wire as u64);
    }

    /// Seven bits a byte, the lowest first; the eighth bit says that there are more.
    fn push(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
