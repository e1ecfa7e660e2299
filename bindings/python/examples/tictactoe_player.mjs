// Plays an agent of `python -m masep.pettingzoo serve pettingzoo.classic.tictactoe_v3 127.0.0.1:60000`, through the program
// masep: node tictactoe_player.mjs 127.0.0.1:60000 player_2 [FILE that keeps the proof of its seat]
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const [address, agent, file] = process.argv.slice(2);
const joins = ["join", address, "--role", "actor", "--game", "any.Game", "--turns", "--seat", agent, "--id", `js-${agent}`];
const program = process.env.MASEP_BIN ?? "masep";
const masep = spawn(program, [...joins, ...(file ? ["--resume-file", file] : [])], { stdio: ["pipe", "pipe", "inherit"] });
const WINS = ["012", "345", "678", "036", "147", "258", "048", "246"].map((line) => [...line].map(Number));
const wins = (mine) => WINS.some((line) => line.every((square) => mine.has(square)));

/** Wins, or does not let the other win, where one move is enough; else the first of the legal actions that is best. */
function policy({ observation, action_mask }) {
  const [board, mask] = [observation, action_mask].map((array) => Buffer.from(array.$array.base64, "base64"));
  const legal = [...mask.keys()].filter((square) => mask[square]);
  const of = (player) => new Set([...mask.keys()].filter((square) => board[2 * square + player]));
  const winning = (player) => legal.find((square) => wins(of(player).add(square)));
  return winning(0) ?? winning(1) ?? [4, 0, 2, 6, 8].find((square) => legal.includes(square)) ?? legal[0];
}

const returns = [];
for await (const line of createInterface({ input: masep.stdout })) {
  const { event, turn, view, information } = JSON.parse(line);
  if (event === "turn") masep.stdin.write(`${JSON.stringify({ turn, action: policy(view) })}\n`);
  if (event === "final") returns.push(information.reward);
}
console.log(JSON.stringify({ agent, episodes: returns.length, wins: returns.filter((reward) => reward > 0).length }));
