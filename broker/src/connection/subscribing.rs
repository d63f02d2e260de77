//! SUBSCRIBE and UNSUBSCRIBE.

use domain::status::RefusalReason;
use mqtt_protocol_core::mqtt::{
    packet::{Property, Qos, RetainHandling, SubEntry, v3_1_1, v5_0},
    result_code::{DisconnectReasonCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode},
};

use super::Connection;
use crate::{
    access::{split_share, valid_filter},
    feed_key,
    mailbox::Outgoing,
    subscriber::Subscription,
};

impl Connection {
    pub(super) async fn subscribe_v3(&mut self, packet: &v3_1_1::Subscribe) {
        let mut codes = Vec::with_capacity(packet.entries().len());
        self.hub.fanout.settled(self.hub.journal.durable().0).await;
        for (i, entry) in packet.entries().iter().enumerate() {
            codes.push(match self.subscribe(i, entry, None) {
                SubackReasonCode::GrantedQos0 => SubackReturnCode::SuccessMaximumQos0,
                SubackReasonCode::GrantedQos1 => SubackReturnCode::SuccessMaximumQos1,
                SubackReasonCode::GrantedQos2 => SubackReturnCode::SuccessMaximumQos2,
                _ => SubackReturnCode::Failure,
            });
        }
        self.kept().await;
        let answer = v3_1_1::Suback::builder()
            .packet_id(packet.packet_id())
            .return_codes(codes)
            .build();
        self.codec
            .send(answer.expect("a SUBACK with a code per filter is valid"));
    }

    pub(super) async fn subscribe_v5(&mut self, packet: &v5_0::Subscribe) {
        let id = packet.props().iter().find_map(|p| match p {
            Property::SubscriptionIdentifier(id) => Some(id.val()),
            _ => None,
        });
        let forbidden = |e: &SubEntry| e.sub_opts().nl() && e.topic_filter().starts_with("$share/");
        if packet.entries().iter().any(forbidden) {
            self.hub.refuse(
                Some(&self.member),
                RefusalReason::Protocol,
                "no-local on a shared subscription",
            );
            return self.codec.disconnect(DisconnectReasonCode::ProtocolError);
        }
        self.hub.fanout.settled(self.hub.journal.durable().0).await;
        let codes = packet
            .entries()
            .iter()
            .enumerate()
            .map(|(i, entry)| self.subscribe(i, entry, id))
            .collect();
        self.kept().await;
        let answer = v5_0::Suback::builder()
            .packet_id(packet.packet_id())
            .reason_codes(codes)
            .build();
        self.codec
            .send(answer.expect("a SUBACK with a code per filter is valid"));
    }

    /// Waits until the subscriptions of a session that outlives its connection are on disk.
    async fn kept(&self) {
        if self.expiry_s > 0 {
            let change = self.hub.keeper.touch();
            self.hub.keeper.saved(change).await;
        }
    }

    /// Acts on the entry number `i` of a SUBSCRIBE. One packet may hold as many as a session may have: each may bring
    /// all retained messages, and a repeated filter counts once in the session but costs as much again.
    fn subscribe(&mut self, i: usize, entry: &SubEntry, id: Option<u32>) -> SubackReasonCode {
        let (filter, options) = (entry.topic_filter(), entry.sub_opts());
        if i >= self.hub.options.limits.subscriptions_per_session {
            return SubackReasonCode::QuotaExceeded;
        }
        let Ok((group, inner)) = split_share(filter) else {
            return SubackReasonCode::TopicFilterInvalid;
        };
        if !valid_filter(inner) {
            return SubackReasonCode::TopicFilterInvalid;
        }
        if !self.member.grant.may_subscribe(inner) {
            self.hub
                .refuse(Some(&self.member), RefusalReason::SubscribeDenied, filter);
            return SubackReasonCode::NotAuthorized;
        }
        let subscriber = &self.session.subscriber;
        let known = subscriber.has(filter);
        if !known && subscriber.count() >= self.hub.options.limits.subscriptions_per_session {
            return SubackReasonCode::QuotaExceeded;
        }
        let keys = feed_key::of_filter(inner);
        let mut since = self.hub.fanout.join(subscriber, &keys);
        if group.is_some() {
            since = self
                .hub
                .fanout
                .group_since(filter, &keys)
                .map_or(since, |group| group.min(since));
        }
        subscriber.add(Subscription {
            filter: filter.into(),
            qos: options.qos() as u8,
            no_local: options.nl(),
            retain_as_published: options.rap(),
            id,
            since,
        });
        let wanted = match options.rh() {
            RetainHandling::SendRetained => true,
            RetainHandling::SendRetainedIfNotExists => !known,
            RetainHandling::DoNotSendRetained => false,
        };
        if wanted && group.is_none() {
            for message in self.hub.fanout.retained(inner, self.hub.clock.now().0) {
                let qos = message.qos.min(options.qos() as u8);
                let subscription_ids = id.into_iter().collect();
                subscriber.mailbox.push(Outgoing {
                    message,
                    qos,
                    retain: true,
                    subscription_ids,
                    share: None,
                });
            }
        }
        match options.qos() {
            Qos::AtMostOnce => SubackReasonCode::GrantedQos0,
            Qos::AtLeastOnce => SubackReasonCode::GrantedQos1,
            Qos::ExactlyOnce => SubackReasonCode::GrantedQos2,
        }
    }

    pub(super) async fn unsubscribe_v3(&mut self, packet: &v3_1_1::Unsubscribe) {
        for filter in packet.entries() {
            self.session.subscriber.remove(filter.as_str());
        }
        self.kept().await;
        let answer = v3_1_1::Unsuback::builder().packet_id(packet.packet_id()).build();
        self.codec
            .send(answer.expect("an UNSUBACK of an identifier that was received is valid"));
    }

    pub(super) async fn unsubscribe_v5(&mut self, packet: &v5_0::Unsubscribe) {
        let removed = |filter: &str| match self.session.subscriber.remove(filter) {
            true => UnsubackReasonCode::Success,
            false => UnsubackReasonCode::NoSubscriptionExisted,
        };
        let codes = packet
            .entries()
            .iter()
            .map(|filter| removed(filter.as_str()))
            .collect();
        self.kept().await;
        let answer = v5_0::Unsuback::builder()
            .packet_id(packet.packet_id())
            .reason_codes(codes)
            .build();
        self.codec
            .send(answer.expect("an UNSUBACK with a code per filter is valid"));
    }
}
