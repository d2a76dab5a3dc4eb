/**
 * How a program that was taken apart (scripts/program.ts) begins, in an executable: `begin` runs the program of a
 * command and answers what it loads. It travels in executables as text.
 *
 * - `owners`: for each chunk that is a command, the word for that command
 * - `programOf`: a command's word → its program, an async function of `load` and `link`
 * - `chunkOf`: a chunk's name and the command's word → an async function of `load`, or a promise of one
 *
 * The command is a guess that was made before flags were read. Where the program asks for another one, that one's
 * program begins instead: nothing has happened yet, and the first is never answered.
 */
export const BEGIN = `
const begin = (command, { owners, programOf, chunkOf }) => {
  const linked = {}, chunks = new Map();
  const evaluate = async (name) => {
    if (name in linked) return linked[name]();
    const owner = owners[name];
    if (owner === undefined) return (await chunkOf(name, command))(load);
    await begin(owner, { owners, programOf, chunkOf });
    return new Promise(() => {});
  };
  const load = (name) => {
    let chunk = chunks.get(name);
    if (chunk === undefined) chunks.set(name, chunk = evaluate(name));
    return chunk;
  };
  return programOf(command)(load, (chunks) => Object.assign(linked, chunks));
};
`;
