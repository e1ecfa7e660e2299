//! stub
use masep_proto::{Limits, discovery::Found};
use std::{io, net::SocketAddr};
#[derive(Debug)]
pub struct Announcement;
impl Announcement {
    pub fn start(_l: SocketAddr, _limits: &Limits) -> io::Result<Self> {
        todo!()
    }
}
#[derive(Debug, Default)]
pub struct SearchOptions;
pub struct SearchReport {
    pub found: Vec<Found>,
}
pub async fn search(_o: &SearchOptions) -> io::Result<SearchReport> {
    todo!()
}
