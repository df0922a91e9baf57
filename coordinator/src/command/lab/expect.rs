//! `mesh lab expect`: what a run should find in a lab with these faults, without raising it. Hidden: it is for benches, which
//! must not hold a second opinion of where a fault stands.

use clap::Args;
use mesh_lab::{Fault, Place, Topology};

use super::shape::ShapeArgs;
use crate::command::version::print;
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Flags of `mesh lab expect`: those of `run` that say what the lab is like.
#[derive(Debug, Args)]
pub(super) struct ExpectArgs {
    #[command(flatten)]
    shape: ShapeArgs,
}

/// Prints the expectation as JSON.
pub(super) fn expect(args: &ExpectArgs) -> Result<ExitCode, Failure> {
    let (options, faults) = args.shape.options()?;
    let topology = Topology::of(&options);
    let faults: Vec<_> = faults.iter().map(|fault| of_fault(fault, &topology)).collect();
    let expected = serde_json::json!({"nodes": options.nodes, "faults": faults});
    let text = serde_json::to_string_pretty(&expected).map_err(Failure::could_not_run)?;
    print(format!("{text}\n").as_bytes())
}

fn of_fault(fault: &Fault, topology: &Topology) -> serde_json::Value {
    let places: Vec<_> = fault.places(topology).iter().map(of_place).collect();
    serde_json::json!({"fault": fault.to_string(), "cause": fault.cause(), "places": places})
}

/// As a report's `where`.
fn of_place(place: &Place) -> serde_json::Value {
    serde_json::json!({
        "nodes": place.nodes,
        "pairs": place.pairs,
        "plane": place.plane,
        "direction": place.direction,
    })
}
