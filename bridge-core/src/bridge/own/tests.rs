//! Links of single clients over a strict model of a broker.

mod introduced;
mod lives;
mod memory;
mod steps;
mod storm;
mod taking_over;
mod turns;
mod world;
