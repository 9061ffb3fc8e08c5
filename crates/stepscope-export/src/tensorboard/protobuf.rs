//! The wire format of protobuf, as much of it as event files use.

/// A message under construction. Fields appear in the order of the calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

/// How a field's value is laid out: the low three bits of its key.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

impl Message {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn push_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u32, layout: u64) {
        self.push_varint(u64::from(field) << 3 | layout);
    }

    pub(super) fn varint(mut self, field: u32, value: u64) -> Self {
        self.key(field, VARINT);
        self.push_varint(value);
        self
    }

    pub(super) fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, FIXED64);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, FIXED32);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.key(field, BYTES);
        self.push_varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    pub(super) fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(super) fn message(self, field: u32, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    pub(super) fn packed_doubles(self, field: u32, values: &[f64]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(field, &bytes)
    }
}

/// A field's value as it lies in a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl<'a> Value<'a> {
    pub(super) fn double(self) -> Option<f64> {
        if let Self::Fixed64(bytes) = self { Some(f64::from_le_bytes(bytes)) } else { None }
    }

    pub(super) fn float(self) -> Option<f32> {
        if let Self::Fixed32(bytes) = self { Some(f32::from_le_bytes(bytes)) } else { None }
    }

    pub(super) fn varint(self) -> Option<u64> {
        if let Self::Varint(value) = self { Some(value) } else { None }
    }

    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn text(self) -> Option<String> {
        self.bytes().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok())
    }

    pub(super) fn packed_doubles(self) -> Option<Vec<f64>> {
        let (values, rest) = self.bytes()?.as_chunks::<8>();
        rest.is_empty().then(|| values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }
}

/// The fields of a message in their order; `None` where the bytes are no message.
pub(super) fn fields(mut bytes: &[u8]) -> Option<Vec<(u32, Value<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let value = match key & 7 {
            VARINT => Value::Varint(take_varint(&mut bytes)?),
            FIXED64 => Value::Fixed64(take(&mut bytes, 8)?.try_into().ok()?),
            BYTES => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                Value::Bytes(take(&mut bytes, length)?)
            }
            FIXED32 => Value::Fixed32(take(&mut bytes, 4)?.try_into().ok()?),
            _ => return None,
        };
        fields.push((u32::try_from(key >> 3).ok()?, value));
    }
    Some(fields)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(length)?;
    *bytes = tail;
    Some(head)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_format_come_out_byte_for_byte() {
        // 150 in field 1, and "testing" in field 2: the two examples of the format's own description.
        assert_eq!(Message::new().varint(1, 150).as_bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::new().text(2, "testing").as_bytes(), [0x12, 7, b't', b'e', b's', b't', b'i', b'n', b'g']);
    }

    proptest! {
        #[test]
        fn every_field_comes_back(number: u64, double: f64, float: f32, text: String, many: Vec<f64>) {
            let inner = Message::new().text(3, &text);
            let message = Message::new()
                .varint(1, number).double(2, double).float(3, float).message(20, &inner).packed_doubles(6, &many);
            let fields = fields(message.as_bytes()).unwrap();
            prop_assert_eq!(fields[0].1.varint(), Some(number));
            prop_assert_eq!(fields[1].1.double().map(f64::to_bits), Some(double.to_bits()));
            prop_assert_eq!(fields[2].1.float().map(f32::to_bits), Some(float.to_bits()));
            prop_assert_eq!((fields[3].0, fields[3].1.bytes()), (20, Some(inner.as_bytes())));
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(fields[4].1.packed_doubles().map(|values| bits(&values)), Some(bits(&many)));
        }

        #[test]
        fn bytes_that_are_no_message_are_no_panic(bytes: Vec<u8>) {
            let _ = fields(&bytes);
        }
    }
}
