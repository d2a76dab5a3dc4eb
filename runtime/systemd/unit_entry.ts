/** A container's unit, as state.json keeps it. */
export interface UnitState {
  /** `belay-ID.scope` */
  readonly name: string;
  /** The address of the bus on which its systemd is. */
  readonly address: string;
  /** It is a user's systemd: who is not in that one's cgroups already can be moved into the unit by it alone. */
  readonly user?: true;
}

/** What the journal keeps of a unit before it is made. */
export interface UnitEntry extends UnitState {
  readonly kind: "unit";
  /** How the unit is described, in words that no other has: so one of the same name is known as another's. */
  readonly description: string;
}
