//! The picture's boxes and arrows: what `topology` wires, as data.

use lakeward_actors::{directories, group_offsets};
use lakeward_core::pipeline::{Holds, Pipeline};

use crate::topology::credits;

/// A box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Unique in the picture.
    pub id: String,
    /// Kind of its actors; or `kafka`, `log`, `follower`, which have none with a queue.
    pub kind: &'static str,
    /// Number of its one actor; `None`: all of the kind.
    pub index: Option<u32>,
    /// For people.
    pub title: String,
    /// The follower's name on the board, where it is one.
    pub follower: Option<String>,
}

/// An arrow, with the messages that one sender may have under way on it.
pub type Arrow = (String, String, usize);

/// The boxes and arrows of a pipeline, in the order data flows.
#[must_use]
pub fn graph(pipeline: &Pipeline, topic: &str, has_mart: bool) -> (Vec<Node>, Vec<Arrow>) {
    let mut graph = Graph::default();
    graph.node("kafka", "kafka", None, topic, None);
    graph.node("partition", "partition", None, "Partitions", None);
    graph.arrow("kafka", "partition", credits::SOURCE);
    for (n, layer) in pipeline.layers.iter().enumerate() {
        let id = format!("layer:{}", layer.name);
        graph.node(&id, "layer_writer", Some(index(n)), &layer.name, None);
        match layer.holds {
            Holds::FinalWindows { .. } => graph.arrow("kpi_registry", &id, credits::LAYER),
            _ => graph.arrow("partition", &id, credits::LAYER),
        }
        graph.arrow(&id, "commit", credits::COMMIT);
    }
    graph.node("kpi_registry", "kpi_registry", None, "KPI registry", None);
    graph.arrow("partition", "kpi_registry", credits::REGISTRY);
    graph.arrow("kpi_registry", "commit", credits::COMMIT);
    graph.node("kpi", "kpi", None, "KPI actors", None);
    graph.arrow("kpi_registry", "kpi", credits::KPI);
    if has_mart {
        graph.marts(pipeline);
    }
    graph.node("commit", "commit", None, "Commits", None);
    graph.arrow("partition", "commit", credits::COMMIT);
    graph.node("log", "log", None, "Log", None);
    graph.arrow("commit", "log", 1);
    for (name, title) in [(directories::NAME, "Folders"), (group_offsets::NAME, "Group offsets")] {
        graph.node(name, "follower", None, title, Some(name.to_owned()));
        graph.arrow("log", name, 1);
    }
    (graph.nodes, graph.arrows)
}

#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    arrows: Vec<Arrow>,
}

impl Graph {
    fn node(&mut self, id: &str, kind: &'static str, index: Option<u32>, title: &str, follower: Option<String>) {
        self.nodes.push(Node { id: id.to_owned(), kind, index, title: title.to_owned(), follower });
    }

    fn arrow(&mut self, from: &str, to: &str, credits: usize) {
        self.arrows.push((from.to_owned(), to.to_owned(), credits));
    }

    fn marts(&mut self, pipeline: &Pipeline) {
        if let Some(rows) = &pipeline.rows {
            let name = lakeward_actors::row_mart::NAME.to_owned();
            self.node("row_mart", "row_mart", None, &rows.table, Some(name));
            self.arrow("partition", "row_mart", credits::ROWS);
            self.arrow("log", "row_mart", 1);
        }
        for (n, kpi) in pipeline.kpis.iter().enumerate() {
            let Some(mart) = &kpi.mart else { continue };
            let id = format!("kpi_mart:{}", kpi.name);
            let follower = lakeward_actors::kpi_mart::KpiMart::follower_name(&kpi.name);
            self.node(&id, "kpi_mart", Some(index(n)), &mart.table, Some(follower));
            self.arrow("kpi", &id, credits::KPI_MART);
            self.arrow("log", &id, 1);
        }
    }
}

fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
