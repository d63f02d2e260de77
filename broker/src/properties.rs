//! The MQTT 5 properties of a message that travel with it.

use mqtt_protocol_core::mqtt::packet::{Properties, PropertiesParse, Property, VariableByteInteger};

/// Writes the properties that subscribers get to see over `out`, with their length in front (nothing when there are
/// none), and returns the message expiry in seconds, 0 for never.
pub(crate) fn split(properties: &[Property], out: &mut Vec<u8>) -> u32 {
    out.clear();
    let mut expiry_s = 0;
    for property in properties {
        match property {
            Property::MessageExpiryInterval(interval) => expiry_s = interval.val(),
            Property::PayloadFormatIndicator(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_)
            | Property::UserProperty(_) => {
                for slice in property.to_buffers() {
                    out.extend_from_slice(&slice);
                }
            }
            _ => {}
        }
    }
    if !out.is_empty() {
        let length = length_prefix(out.len());
        out.splice(0..0, length);
    }
    expiry_s
}

/// Reads back what [`split`] wrote.
pub(crate) fn join(block: &[u8]) -> Properties {
    if block.is_empty() {
        return Properties::new();
    }
    Properties::parse(block)
        .map(|(properties, _)| properties)
        .unwrap_or_default()
}

/// `length` as MQTT writes lengths. A length comes from a packet that was read, so it fits.
pub(crate) fn length_prefix(length: usize) -> Vec<u8> {
    let value = u32::try_from(length).ok().and_then(VariableByteInteger::from_u32);
    value.map(|v| v.as_bytes().to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use mqtt_protocol_core::mqtt::packet::{ContentType, MessageExpiryInterval, TopicAlias, UserProperty};

    use super::*;

    #[test]
    fn what_travels_comes_back() {
        let all: Properties = vec![
            MessageExpiryInterval::new(9).unwrap().into(),
            TopicAlias::new(3).unwrap().into(),
            ContentType::new("application/json").unwrap().into(),
            UserProperty::new("厨房", "x".repeat(200)).unwrap().into(),
        ];
        let mut block = vec![1];
        assert_eq!(split(&all, &mut block), 9);
        let back = join(&block);
        assert_eq!(back, all[2..]);
        assert_eq!((split(&[], &mut block), block.len(), join(&[]).len()), (0, 0, 0));
    }
}
