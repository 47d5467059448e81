//! A user of the live stream.

use std::net::SocketAddr;

use tokio::time::timeout;
use tonic::{Status, Streaming, transport::Channel};
use weir_proto::observe::v1::{
    Category, Point, SubscribeRequest, SubscribeResponse, TagFilter, observe_client::ObserveClient,
    subscribe_response::Message,
};

use super::PATIENCE;

/// An open subscription.
pub(crate) struct Subscriber {
    responses: Streaming<SubscribeResponse>,
}

impl Subscriber {
    pub(crate) async fn connect(gateway: SocketAddr, filters: &[(&str, &str)]) -> Self {
        Self::try_connect(gateway, filters)
            .await
            .expect("a subscription")
    }

    pub(crate) async fn try_connect(
        gateway: SocketAddr,
        filters: &[(&str, &str)],
    ) -> Result<Self, Status> {
        Self::try_connect_to(gateway, &[], filters).await
    }

    /// Of these categories only.
    pub(crate) async fn connect_to(
        gateway: SocketAddr,
        categories: &[Category],
        filters: &[(&str, &str)],
    ) -> Self {
        let numbers: Vec<i32> = categories.iter().map(|own| (*own).into()).collect();
        Self::try_connect_to(gateway, &numbers, filters)
            .await
            .expect("a subscription")
    }

    pub(crate) async fn try_connect_to(
        gateway: SocketAddr,
        categories: &[i32],
        filters: &[(&str, &str)],
    ) -> Result<Self, Status> {
        let channel = Channel::from_shared(format!("http://{gateway}"))
            .expect("a URL")
            // Small, so that a subscriber that does not read is noticed soon.
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(65_535)
            .connect()
            .await
            .expect("a gateway");
        let filters = filters
            .iter()
            .map(|(key, value)| TagFilter {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
            })
            .collect();
        let responses = ObserveClient::new(channel)
            .subscribe(SubscribeRequest {
                filters,
                categories: categories.to_vec(),
            })
            .await?
            .into_inner();
        Ok(Self { responses })
    }

    /// The next message; `None` at the end of the stream.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        let response = timeout(PATIENCE, self.responses.message())
            .await
            .expect("a message in time")
            .expect("a stream that ends in order")?;
        Some(response.message.expect("a message of a known kind"))
    }

    /// The next `count` Points; panics if any are lost.
    pub(crate) async fn points(&mut self, count: usize) -> Vec<Point> {
        let mut points = Vec::new();
        while points.len() < count {
            match self.message().await {
                Some(Message::Batch(batch)) => points.extend(batch.points),
                other => panic!("no Points but {other:?}"),
            }
        }
        assert_eq!(points.len(), count);
        points
    }
}
