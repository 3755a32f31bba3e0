pub mod mart;
