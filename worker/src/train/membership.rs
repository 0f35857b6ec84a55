//! Taking a rank in a generation: orders from the coordinator, the store, the process group.

use super::error::TrainError;
use crate::session::{Assignment, Phase};
use evenkeel_proto::v1;
use evenkeel_proto::v1::attach_request::Message as Report;
use evenkeel_proto::v1::attach_response::Message as Order;
use evenkeel_torch_ext::{GroupOptions, Member, ProcessGroup, Store};
use std::sync::mpsc::Receiver;
use std::time::Duration;
use tch::Device;

/// This worker's place in a generation.
#[derive(Debug)]
pub(super) struct Membership {
    // Dropped in this order: the group before the store that its members met in.
    pub(super) group: ProcessGroup,
    _store: Store,
    pub(super) form: v1::Form,
}

/// Waits for the coordinator's orders and joins the process group.
///
/// # Errors
/// The control side is gone, another rank does not come, orders in a wrong order.
pub(super) fn join(
    assignment: &Assignment,
    form: v1::Form,
    device: Device,
) -> Result<Membership, TrainError> {
    let Assignment { config, identity, orders, links, .. } = assignment;
    links.progress.enter_generation(form.generation);
    links.progress.enter(Phase::Joining);
    let form_timeout = Duration::from_secs_f64(config.cluster.join_timeout_seconds);
    // Rank 0 serves the store on a port that the system picks: no port to configure, none that can be taken.
    let served = if form.rank == 0 {
        let store = Store::serve(&identity.data_address, 0, form_timeout)?;
        let ready = v1::StoreReady { generation: form.generation, port: u32::from(store.port()) };
        links.outbox.send(Report::StoreReady(ready));
        Some(store)
    } else {
        None
    };
    let connect = expect_connect(orders)?;
    let store = match served {
        Some(store) => store,
        None => {
            let port = u16::try_from(connect.store_port).unwrap_or_default();
            Store::connect(&connect.store_host, port, form_timeout)?
        }
    };
    let member = Member { rank: form.rank, world_size: form.world_size };
    let options = GroupOptions {
        form_timeout,
        collective_timeout: Duration::from_secs_f64(config.cluster.collective_timeout_seconds),
    };
    let prefix = format!("generation-{}", form.generation);
    let group = open_group(&store, &prefix, member, &identity.data_address, options, device)?;
    links.abort.arm(group.abort_handle());
    Ok(Membership { group, _store: store, form })
}

/// The order that gives this worker a rank.
///
/// # Errors
/// The control side is gone, or another order came first.
pub(super) fn expect_form(orders: &Receiver<Order>) -> Result<v1::Form, TrainError> {
    match orders.recv() {
        Ok(Order::Form(form)) => Ok(form),
        other => Err(unexpected("Form", other)),
    }
}

fn expect_connect(orders: &Receiver<Order>) -> Result<v1::Connect, TrainError> {
    match orders.recv() {
        Ok(Order::Connect(connect)) => Ok(connect),
        other => Err(unexpected("Connect", other)),
    }
}

fn unexpected<E: std::fmt::Display>(expected: &'static str, found: Result<Order, E>) -> TrainError {
    let found = match found {
        Ok(order) => format!("{order:?}"),
        Err(_) => "the end of the control stream".into(),
    };
    TrainError::Order { expected, found }
}

#[cfg(not(feature = "cuda"))]
fn open_group(
    store: &Store,
    prefix: &str,
    member: Member,
    address: &str,
    options: GroupOptions,
    _device: Device,
) -> Result<ProcessGroup, TrainError> {
    Ok(ProcessGroup::gloo(store, prefix, member, Some(address), options)?)
}

#[cfg(feature = "cuda")]
fn open_group(
    store: &Store,
    prefix: &str,
    member: Member,
    address: &str,
    options: GroupOptions,
    device: Device,
) -> Result<ProcessGroup, TrainError> {
    match device {
        Device::Cuda(index) => Ok(ProcessGroup::nccl(store, prefix, member, index as i32, options)?),
        _ => Ok(ProcessGroup::gloo(store, prefix, member, Some(address), options)?),
    }
}
