use crate::harness::{Coordinator, facts};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

#[tokio::test]
async fn health_says_that_each_service_serves() {
    let coordinator = Coordinator::start(facts(1)).await;
    let mut health = HealthClient::new(coordinator.channel.clone());
    for service in ["", "evenkeel.v1.Control", "evenkeel.v1.Status", "evenkeel.v1.Admin"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
    }
}

async fn reflect(coordinator: &Coordinator, request: MessageRequest) -> MessageResponse {
    let mut client = ServerReflectionClient::new(coordinator.channel.clone());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test]
async fn reflection_describes_the_services() {
    let coordinator = Coordinator::start(facts(1)).await;
    let answer = reflect(&coordinator, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["evenkeel.v1.Control", "evenkeel.v1.Status", "evenkeel.v1.Admin", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let symbol = MessageRequest::FileContainingSymbol("evenkeel.v1.RunStatus".into());
    let answer = reflect(&coordinator, symbol).await;
    assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{answer:?}");
}
