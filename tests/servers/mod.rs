//! Servers of this process's device, which a test connects to as to those of others.

use std::net::TcpListener;
use std::thread;

use burn::remote::RemoteHost;
use burn::server::{RemoteServer, WebSocketTransport};

/// Serves on a port that is free, for as long as the tests run.
pub fn start(server: RemoteServer) -> RemoteHost {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it has one");
    thread::spawn(move || {
        let served = server.serve(WebSocketTransport::from_listener(listener));
        served.expect("it serves until the program ends");
    });
    RemoteHost::websocket(&format!("ws://{address}"))
}
