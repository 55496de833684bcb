/* tests/model/common.pml - what the models share: lanes, and their deaths.
 *
 * A lane is the process of its number; the numbers below KILLABLE may be killed, DEATHS times in all, between any two of their
 * steps: then the kernel marks the lane and lets go of the locks it held (a reaper's), in one step, and the process makes no
 * other: its body is left by the escape dead[me]. life is struct ap_lane's: LIVE -> DEAD -> GONE by the reaper that holds the
 * lane's lock.
 */
#ifndef DEATHS
#define DEATHS 2
#endif
#ifndef ON_DEATH
#define ON_DEATH(lane) skip
#endif
/* VICTIM: only this lane may die, and the first reaper. REAPER_STAYS: any may, but not that. */
#ifdef REAPER_STAYS
#define MAY_DIE(lane) (lane != R1)
#elif defined(VICTIM)
#define MAY_DIE(lane) (lane == VICTIM || lane == R1)
#else
#define MAY_DIE(lane) true
#endif
#define NOBODY 15
#ifndef SPARED
#define SPARED NOBODY /* a lane below KILLABLE that stays */
#endif

mtype = { LIVE, DEAD, GONE };

bool dead[LANES];
mtype life[LANES] = LIVE;
byte locked[LANES] = NOBODY;
bool at_work; /* the first reaper: only then does its death make a difference */

active proctype killer()
{
    byte victim, i, deaths;

    do
    :: deaths < DEATHS ->
        atomic {
            select (victim : 0 .. KILLABLE - 1);
            if
            :: victim != SPARED && !dead[victim] && life[victim] == LIVE && MAY_DIE(victim) && (victim != R1 || at_work) ->
                for (i : 0 .. LANES - 1) {
                    if
                    :: locked[i] == victim -> locked[i] = NOBODY
                    :: else
                    fi
                }
                ON_DEATH(victim);
                at_work = at_work && victim != R1;
                dead[victim] = true;
                deaths++
            :: else
            fi;
            victim = 0;
            i = 0
        }
    :: break
    od
}

/* A dead lane that nobody recovers yet. */
#define LOCKABLE(lane) (dead[lane] && life[lane] != GONE && locked[lane] == NOBODY)

#define LOCK(lane) locked[lane] = me; at_work = at_work || me == R1
#define UNLOCK(lane) locked[lane] = NOBODY; at_work = at_work && me != R1

/* Of two reapers the second comes when the first is dead, or is at work from the beginning, too. */
#ifdef TWO_REAPERS
#define READY true
#else
#define READY (me == R1 || dead[R1])
#endif
