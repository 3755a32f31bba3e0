pub mod lake;
pub mod layer;
