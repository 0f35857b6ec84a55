#pragma once
// c10d's headers include this file but name nothing from it.
