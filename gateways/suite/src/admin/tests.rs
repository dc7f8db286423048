//! Shards that do not answer.

use super::*;
use bridge_core::ask::Wanted;

/// A node whose shards hear and say nothing.
fn admin(shards: usize) -> (Admin, Vec<mpsc::Receiver<Command>>) {
    let (workers, heard) = (0..shards)
        .map(|_| {
            let (commands, heard) = mpsc::channel(16);
            (Worker { commands, meters: Vec::new() }, heard)
        })
        .unzip();
    let admin = Admin {
        workers,
        inventory: Inventory { node: "north".to_owned(), gateways: Vec::new(), listeners: Vec::new() },
        owners: Owners::new(Arc::default(), HERE),
        stopping: Arc::default(),
        started_s: 0,
        questions: Semaphore::new(QUESTIONS),
        patience: Duration::from_millis(20),
        meter: Guard::new(None, "north").meter(),
    };
    (admin, heard)
}

const GATEWAY: GatewayId = GatewayId(0);

fn message(told: Result<Answer, Fault>) -> (u16, String) {
    let fault = told.unwrap_err();
    (fault.status.as_u16(), fault.message)
}

#[test]
fn a_shard_that_does_not_answer_in_time_is_named() {
    runtime().unwrap().block_on(async {
        let (admin, heard) = admin(2);
        let told = admin.ask(1, GATEWAY, Question::Show("lamp".into())).await;
        assert_eq!(message(told), (503, "shard 1 does not answer".to_owned()));
        drop(heard);
        let told = admin.ask(0, GATEWAY, Question::Show("lamp".into())).await;
        assert_eq!(message(told), (503, "shard 0 does not answer".to_owned()), "nor does one that has ended");
    });
}

#[test]
fn a_client_is_asked_for_where_it_lives_and_nowhere_else() {
    runtime().unwrap().block_on(async {
        let (mut admin, mut heard) = admin(3);
        let directory = Arc::<Directory>::default();
        admin.owners = Owners::new(Arc::clone(&directory), HERE);
        let told = admin.ask_owner(GATEWAY, "lamp", Question::Show("lamp".into())).await;
        assert_eq!(told, Ok(Answer::NoSuchClient), "nobody has to be asked");
        for shard in [0_u8, 2] {
            let id = format!("lamp {shard}");
            Owners::new(Arc::clone(&directory), ShardId(shard)).claim(GATEWAY, &id);
            let asked = admin.ask_owner(GATEWAY, &id, Question::Kick(id.as_str().into()));
            let answer = async {
                let Some(Command::Ask { question, answer, .. }) = heard[usize::from(shard)].recv().await else {
                    panic!("another command")
                };
                assert_eq!(question, Question::Kick(id.as_str().into()));
                answer.send(Answer::Done).unwrap();
            };
            assert_eq!(tokio::join!(asked, answer).0, Ok(Answer::Done));
        }
        assert!(heard[1].try_recv().is_err());
        assert_eq!(admin.questions.available_permits(), QUESTIONS, "each gives its place back");
    });
}

#[test]
fn questions_under_way_leave_room_for_other_commands() {
    runtime().unwrap().block_on(async {
        let (admin, mut heard) = admin(1);
        let list = || Question::List { after: None, rows: 1, scan: 1, wanted: Arc::new(Wanted::default()) };
        let mut asked: Vec<_> = (0..20).map(|_| Box::pin(admin.ask(0, GATEWAY, list()))).collect();
        // All have begun; none is answered.
        std::future::poll_fn(|cx| {
            for one in &mut asked {
                assert!(one.as_mut().poll(cx).is_pending());
            }
            std::task::Poll::Ready(())
        })
        .await;
        assert_eq!(heard[0].len(), QUESTIONS);
        assert!(admin.reports().await[0].is_none(), "nobody answers that either");
        assert_eq!(heard[0].len(), QUESTIONS + 1, "but it found room");
        drop(asked);
        assert_eq!(admin.questions.available_permits(), QUESTIONS);
        while let Ok(command) = heard[0].try_recv() {
            if let Command::Ask { answer, .. } = command {
                assert!(answer.is_closed(), "nobody waits for it any more");
            }
        }
    });
}
