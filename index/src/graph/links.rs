//! Links of all nodes while a graph is built: fixed-size rows with a length.

/// Rows of at most `degree` links.
#[derive(Clone, Debug)]
pub struct Links {
    degree: usize,
    nodes: Vec<u32>,
    lengths: Vec<u32>,
}

impl Links {
    /// Makes `n` empty rows.
    pub fn new(n: usize, degree: usize) -> Self {
        Self { degree, nodes: vec![0; n * degree], lengths: vec![0; n] }
    }

    /// Most links of a node.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// The links of one node.
    #[inline(always)]
    pub fn of(&self, node: u32) -> &[u32] {
        let at = node as usize * self.degree;
        &self.nodes[at..at + self.lengths[node as usize] as usize]
    }

    /// Replaces the links of one node; those beyond the degree are dropped.
    pub fn set(&mut self, node: u32, links: &[u32]) {
        let kept = links.len().min(self.degree);
        let at = node as usize * self.degree;
        self.nodes[at..at + kept].copy_from_slice(&links[..kept]);
        self.lengths[node as usize] = kept as u32;
    }

    /// Adds one link to a row that has room.
    pub fn push(&mut self, node: u32, link: u32) {
        let length = &mut self.lengths[node as usize];
        assert!((*length as usize) < self.degree, "the row is full");
        self.nodes[node as usize * self.degree + *length as usize] = link;
        *length += 1;
    }

    /// Replaces the link at `place` of a row.
    pub fn replace(&mut self, node: u32, place: usize, link: u32) {
        assert!(place < self.lengths[node as usize] as usize, "no link at this place");
        self.nodes[node as usize * self.degree + place] = link;
    }
}
