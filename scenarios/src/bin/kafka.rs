//! Makes real Kafka ready for the tests (`make kafka`): fetches it, and builds what lets it start quickly.

use std::process::ExitCode;

fn main() -> ExitCode {
    match scenarios::kafka::prepare() {
        Ok(()) => {
            println!("Kafka is ready for the tests");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
