//! For the person who runs the job.

use crate::owner::Handle;
use crate::state::{Event, SaveOnStop};
use crate::wire;
use evenkeel_proto::v1::admin_server::Admin;
use evenkeel_proto::v1::{SaveCheckpointRequest, SaveCheckpointResponse, StopRequest, StopResponse};
use tonic::{Request, Response, Status};

pub(crate) struct AdminService {
    owner: Handle,
}

impl AdminService {
    pub(crate) fn new(owner: Handle) -> Self {
        Self { owner }
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        let StopRequest { save_checkpoint, reason } = request.into_inner();
        let save_checkpoint = if save_checkpoint { SaveOnStop::Save } else { SaveOnStop::Discard };
        let event = Event::StopRequested { save_checkpoint, reason: wire::text(&reason) };
        self.owner.ask(event).await.map_err(|refusal| wire::status_of(&refusal))?;
        Ok(Response::new(StopResponse {}))
    }

    async fn save_checkpoint(
        &self,
        _request: Request<SaveCheckpointRequest>,
    ) -> Result<Response<SaveCheckpointResponse>, Status> {
        self.owner.ask(Event::SaveRequested).await.map_err(|refusal| wire::status_of(&refusal))?;
        Ok(Response::new(SaveCheckpointResponse {}))
    }
}
