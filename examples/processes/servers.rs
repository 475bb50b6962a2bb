//! Burn's servers: those of this machine that live as long as this program, and others.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, io, process, thread};

use burn::remote::{EndpointId, IrohHost, IrohIdentity, IrohRelays, RemoteHost};
use burn::server::{IrohTransport, TokenAuthorizer, WebSocketTransport};
use burn::tensor::Device;
use burn_decay::remote;

/// The environment variable with what clients show to a server. (Others see a command line.)
pub const TOKEN: &str = "PROCESSES_TOKEN";
/// So long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets others compute on a device, until the program is stopped. A first line says what they give to
/// `--remote`.
pub fn serve(device: Device, address: &str) -> Result<(), Box<dyn Error>> {
    let mut server = remote::server([device]);
    let token = env::var(TOKEN).unwrap_or_default();
    if !token.is_empty() {
        server = server.with_authorizer(TokenAuthorizer::new(token.as_str())?);
    }
    let of_this_machine = |ip: IpAddr| match ip.is_loopback() || !token.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "--serve {address}: set {TOKEN}, to say who may compute here"
        )),
    };
    if let Some(address) = address.strip_prefix("iroh://") {
        let address: SocketAddr = address.parse()?;
        let identity = IrohIdentity::random();
        // It listens on every address of the machine.
        of_this_machine([0, 0, 0, 0].into())?;
        println!("iroh://{}@{address}", identity.id());
        let transport = IrohTransport::new(identity);
        let transport = transport.with_relays(IrohRelays::Disabled);
        return Ok(server.serve(transport.with_port(address.port()))?);
    }
    let address: SocketAddr = address.strip_prefix("ws://").unwrap_or(address).parse()?;
    of_this_machine(address.ip())?;
    let listener = TcpListener::bind(address)?;
    println!("ws://{}", listener.local_addr()?);
    Ok(server.serve(WebSocketTransport::from_listener(listener))?)
}

/// Ends the process when the one that started it does.
pub fn end_with_parent() {
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        process::exit(0);
    });
}

/// Processes of this program that serve the CPU until this is dropped, or the program ends.
#[derive(Default)]
pub struct Servers {
    children: Vec<Child>,
    are_done: Arc<AtomicBool>,
}

impl Servers {
    /// Starts them, and their addresses.
    pub fn start(count: usize, token: &str) -> Result<(Self, Vec<String>), Box<dyn Error>> {
        let (mut servers, mut addresses) = (Self::default(), Vec::new());
        for _ in 0..count {
            let child = Command::new(env::current_exe()?)
                .args(["--serve", "ws://127.0.0.1:0", "--child"])
                .env(TOKEN, token)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            servers.children.push(child);
        }
        for child in &mut servers.children {
            let mut address = String::new();
            let output = child.stdout.take().expect("it has a pipe");
            BufReader::new(output).read_line(&mut address)?;
            if address.is_empty() {
                return Err("a process has ended before it served".into());
            }
            addresses.push(address.trim().to_owned());
        }
        Ok((servers, addresses))
    }

    /// Ends the program, with an error, once a server does not answer: Burn would wait for it. (Iroh sees
    /// to that itself.)
    pub fn watch(&self, addresses: &[String]) {
        for address in over_websocket(addresses) {
            let address = address.to_owned();
            let are_done = self.are_done.clone();
            thread::spawn(move || {
                while answers(&address).is_ok() {
                    thread::sleep(Duration::from_secs(1));
                }
                if !are_done.load(Ordering::Relaxed) {
                    eprintln!(
                        "{address} does not answer; --resume goes on from the last checkpoint"
                    );
                    process::exit(1);
                }
            });
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.are_done.store(true, Ordering::Relaxed);
        // All at once: one that is left alone complains.
        for child in &mut self.children {
            let _ = child.kill();
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// The device of a server.
pub fn connect(address: &str, token: &str) -> Result<Device, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{address}: {error}");
    let host = match address.strip_prefix("iroh://") {
        Some(place) => {
            let (id, address) = place
                .split_once('@')
                .ok_or("iroh://ID@IP:PORT is expected")?;
            let id: EndpointId = id.parse().map_err(|error| failed(&error))?;
            let address = address.parse().map_err(|error| failed(&error))?;
            let host = IrohHost::new(id).with_relays(IrohRelays::Disabled);
            RemoteHost::iroh(host.with_address(address))
        }
        None if !address.starts_with("ws://") => {
            return Err(failed(&"ws:// or iroh:// is expected"));
        }
        None => {
            // Burn would try for 16 seconds.
            answers(address).map_err(|error| failed(&error))?;
            RemoteHost::websocket(address)
        }
    };
    let options = Device::remote_options(&host.with_credential(token));
    remote::connect(options).map_err(|error| failed(&error))
}

/// Those that do not answer.
pub fn lost(addresses: &[String]) -> Vec<&str> {
    over_websocket(addresses)
        .filter(|address| answers(address).is_err())
        .collect()
}

/// Those that can be asked.
fn over_websocket(addresses: &[String]) -> impl Iterator<Item = &str> {
    let addresses = addresses.iter().map(String::as_str);
    addresses.filter(|address| address.starts_with("ws://"))
}

/// To a request that is none of Burn's.
fn answers(address: &str) -> io::Result<()> {
    let mut addresses = address.trim_start_matches("ws://").to_socket_addrs()?;
    let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    stream.read_exact(&mut [0])
}
