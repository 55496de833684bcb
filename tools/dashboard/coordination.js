export function open(root) { root.replaceChildren(); return {draw() {}}; }
