mod both_orders;
mod fallback;
mod queue;
mod reward;
mod voting;

pub use both_orders::BothOrders;
pub use fallback::WithFallback;
pub use reward::RewardJudge;
pub use voting::Voting;
