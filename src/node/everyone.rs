//! Asking several nodes the same at the same time.

use segue_cluster::StoreId;

/// What each of the nodes says, in their order, or why it says nothing. Each is asked on a thread of its own, so the slowest
/// decides how long this takes.
pub(super) fn ask_each<T: Send>(
    nodes: &[StoreId],
    ask: impl Fn(StoreId) -> Result<T, String> + Sync,
) -> Vec<Result<T, String>> {
    let ask = &ask;
    std::thread::scope(|scope| {
        let threads: Vec<_> = nodes.iter().map(|&node| scope.spawn(move || ask(node))).collect();
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.map(|said| said.unwrap_or_else(|_| Err("asking it panicked".to_owned()))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stand_in_the_order_of_the_nodes_and_a_panic_is_one_of_them() {
        let nodes: Vec<StoreId> = (1..=4).map(StoreId).collect();
        let said = ask_each(&nodes, |node| match node.0 {
            2 => Err("no".to_owned()),
            3 => panic!("a bug"),
            // The first answers last.
            number => {
                std::thread::sleep(std::time::Duration::from_millis(20 / number));
                Ok(number)
            }
        });
        let expected = [Ok(1), Err("no".to_owned()), Err("asking it panicked".to_owned()), Ok(4)];
        assert_eq!(said, expected);
    }
}
